// The protocol client of the page against a server that is played by hand.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Stream, Subscriptions, backoffMs, mayReconnect } from "../../dashboards/page/stream.js";

const CH = "candles:kraken:BTC-USD:1m";

/** A network whose clock and servers are in our hands. */
class World {
  sockets = [];
  nowMs = 0;
  states = [];
  got = [];
  #timers = [];

  constructor() {
    const world = this;
    this.outside = {
      WebSocket: class {
        readyState = 0;
        sent = [];
        constructor(url) {
          this.url = url;
          world.sockets.push(this);
        }
        send(text) {
          this.sent.push(JSON.parse(text));
        }
        close() {
          this.isDropped = true;
        }
      },
      now: () => this.nowMs,
      random: () => 1,
      setTimeout: (then, ms) => {
        const timer = { at: this.nowMs + ms, then };
        this.#timers.push(timer);
        return timer;
      },
      clearTimeout: (timer) => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
    this.stream = new Stream("ws://here/ws/v1", (state) => this.states.push(state), this.outside);
  }

  want(ch, options = { snapshot: 5 }) {
    this.stream.subscribe(ch, options, (message) => this.got.push(message));
  }

  pass(ms) {
    const end = this.nowMs + ms;
    for (;;) {
      const [next] = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.at);
      this.outside.clearTimeout(next);
      next.then();
    }
    this.nowMs = end;
  }

  get socket() {
    return this.sockets.at(-1);
  }

  open() {
    this.socket.readyState = 1;
    this.socket.onopen();
    return this.socket.sent.at(-1);
  }

  say(...messages) {
    this.socket.onmessage({ data: messages.map((message) => JSON.stringify(message)).join("\n") });
  }

  end(code = 1006) {
    this.socket.readyState = 3;
    this.socket.onclose({ code });
  }

  accept(request, { epoch = "e1", seq = 10, recovered = null } = {}) {
    const results = request.channels.map(({ ch }) => ({ ch, epoch, seq, recovered }));
    this.say({ id: request.id, ok: true, results });
  }
}

const update = (seq, prev, data = seq) => ({ ch: CH, type: "update", seq, prev, tp: 0, data });
const snapshot = (seq, recovered = null) => ({ ch: CH, type: "snapshot", seq, recovered, data: [] });

function started() {
  const world = new World();
  world.want(CH);
  world.stream.connect();
  const request = world.open();
  world.accept(request);
  world.say(snapshot(10));
  return world;
}

test("a stream begins with what is wanted and gives what comes", () => {
  const world = started();
  assert.deepEqual(world.socket.sent[0].channels, [{ ch: CH, snapshot: 5 }]);
  world.say(update(12, 10), update(15, 12));
  assert.deepEqual(world.got.map((message) => message.seq), [10, 12, 15]);
  assert.equal(world.stream.state, "live");
});

test("after a break it resumes from the last message it had", () => {
  const world = started();
  world.say(update(12, 10));
  world.end();
  assert.equal(world.stream.state, "reconnecting");
  world.pass(10_000);
  assert.equal(world.sockets.length, 2);
  const [wanted] = world.open().channels;
  assert.deepEqual(wanted, { ch: CH, snapshot: 5, resume: { epoch: "e1", seq: 12 } });
});

test("what was missed comes once and nothing is taken twice", () => {
  const world = started();
  world.end();
  world.pass(10_000);
  world.accept(world.open(), { seq: 10, recovered: true });
  world.say(update(10, 8), update(12, 10), update(12, 10), update(13, 12));
  assert.deepEqual(world.got.map((message) => message.seq), [10, 12, 13]);
});

test("a snapshot replaces the position when resuming is not possible", () => {
  const world = started();
  world.end();
  world.pass(10_000);
  world.accept(world.open(), { epoch: "e2", seq: 3, recovered: false });
  world.say(snapshot(3, false), update(4, 3));
  world.end();
  world.pass(10_000);
  assert.deepEqual(world.open().channels[0].resume, { epoch: "e2", seq: 4 });
});

test("a break between the answer and its snapshot leaves no position", () => {
  const world = new World();
  world.want(CH);
  world.stream.connect();
  world.accept(world.open());
  world.end();
  world.pass(10_000);
  assert.equal(world.open().channels[0].resume, undefined);
});

test("a message that does not follow on makes it begin again without a position", () => {
  const world = started();
  world.say(update(20, 15));
  assert.equal(world.socket.isDropped, true);
  assert.equal(world.got.length, 1);
  world.pass(10_000);
  assert.equal(world.open().channels[0].resume, undefined);
});

test("a connection on which nothing is heard is given up", () => {
  const world = started();
  world.pass(39_000);
  assert.equal(world.sockets.length, 1);
  world.say({ type: "hb", t: world.nowMs });
  world.pass(39_000);
  assert.equal(world.sockets.length, 1);
  world.pass(10_000);
  assert.equal(world.sockets.length, 2);
});

test("nothing of an old connection is taken", () => {
  const world = started();
  const [old] = world.sockets;
  world.pass(60_000);
  old.onmessage({ data: JSON.stringify(update(12, 10)) });
  assert.equal(world.got.length, 1);
});

test("waits grow, are jittered, and end with success", () => {
  assert.ok(backoffMs(0, () => 0) < backoffMs(0, () => 1));
  assert.ok(backoffMs(5, () => 0) > backoffMs(0, () => 1));
  assert.equal(backoffMs(1_000, () => 1), 8_000);
  const world = started();
  const waits = [];
  for (let n = 0; n < 4; n += 1) {
    world.end();
    const before = world.nowMs;
    while (world.socket.readyState === 3) world.pass(1);
    waits.push(world.nowMs - before);
    if (n < 2) continue;
    world.accept(world.open(), { seq: 10, recovered: true });
  }
  assert.deepEqual(waits, [250, 500, 1_000, 250]);
});

test("a server that goes away says when to come back", () => {
  const world = started();
  world.say({ type: "goaway", reason: "shutdown", retry_after_ms: [500, 8_000] });
  world.end(3001);
  world.pass(7_999);
  assert.equal(world.sockets.length, 1);
  world.pass(1);
  assert.equal(world.sockets.length, 2);
});

test("codes that would come again are final", () => {
  const again = [1001, 1006, 1012, 1013, 3001, 3008, 3012, 3013];
  assert.deepEqual(again.filter(mayReconnect), again);
  assert.deepEqual([1003, 1007, 1008, 1009, 3501].filter(mayReconnect), []);
  const world = started();
  world.end(1008);
  world.pass(60_000);
  assert.deepEqual([world.stream.state, world.sockets.length], ["refused", 1]);
});

test("one unknown channel does not keep the others away", () => {
  const world = new World();
  const names = [..."abcdefg"].map((name) => `ticker:${name}`);
  names.forEach((name) => world.want(name));
  world.stream.connect();
  world.open();
  let answered = 0;
  for (let round = 0; round < 20; round += 1) {
    const request = world.socket.sent[answered];
    if (request !== undefined) {
      answered += 1;
      const isBad = request.channels.some(({ ch }) => ch === "ticker:d");
      const error = { code: 102, message: "no such channel", temporary: false };
      if (isBad) world.say({ id: request.id, ok: false, error });
      else world.accept(request);
    }
    world.pass(250);
  }
  const refused = world.got.filter((message) => message.type === "refused");
  assert.ok(refused.length >= 1);
  assert.ok(refused.every((message) => message.ch === "ticker:d"));
  const taken = world.socket.sent.flatMap((request) => request.channels.map(({ ch }) => ch));
  assert.deepEqual([...new Set(taken)].sort(), names);
  assert.equal(world.stream.state, "behind");
});

test("a channel that the server holds from before is left, then asked for again", () => {
  const world = new World();
  world.want(CH);
  world.stream.connect();
  const error = { code: 105, message: "already subscribed", temporary: false };
  world.say({ id: world.open().id, ok: false, error });
  world.pass(5_000);
  const [left, again] = world.socket.sent.slice(1);
  assert.deepEqual([left.op, left.channels], ["unsubscribe", [CH]]);
  assert.equal(again.op, "subscribe");
  world.accept(again);
  world.say(snapshot(10));
  assert.deepEqual(world.got.map((message) => message.type), ["snapshot"]);
});

test("requests keep within what the server takes", () => {
  const world = started();
  for (let n = 0; n < 200; n += 1) {
    world.want(`ticker:${n}`);
    world.stream.unsubscribe(`ticker:${n}`);
    world.pass(10);
  }
  assert.ok(world.socket.sent.length <= 2 + 2_000 / 250, `${world.socket.sent.length} requests`);
});

test("leaving and coming back takes nothing of the time before", () => {
  const world = started();
  world.stream.unsubscribe(CH);
  world.want(CH);
  world.say(update(12, 10));
  world.pass(250);
  world.say(update(13, 12));
  world.pass(250);
  const [left, again] = world.socket.sent.slice(-2);
  assert.deepEqual([left.op, again.op], ["unsubscribe", "subscribe"]);
  world.say(update(14, 13));
  assert.equal(world.got.length, 1);
  world.accept(again, { seq: 14 });
  world.say(snapshot(14), update(15, 14));
  assert.deepEqual(world.got.map((message) => message.seq), [10, 14, 15]);
});

test("for any course of breaks the client has every update once and in order", () => {
  let seed = 7;
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let course = 0; course < 200; course += 1) {
    const log = [0];
    const subscriptions = new Subscriptions();
    let state = new Set();
    let isLost = false;
    subscriptions.add(CH, { snapshot: 1_000 }, (message) => {
      if (message.type === "snapshot") state = new Set(message.data);
      else {
        isLost ||= state.has(message.data);
        state.add(message.data);
      }
    });
    let pending = [];
    let sentTo = null;
    const connect = () => {
      subscriptions.onOpen();
      const { id, channels } = JSON.parse(subscriptions.nextRequest(0));
      const { resume } = channels[0];
      const canResume = resume !== undefined && random() < 0.7;
      sentTo = canResume ? resume.seq : log.at(-1);
      const recovered = resume === undefined ? null : canResume;
      pending = [{ id, ok: true, results: [{ ch: CH, epoch: "e", seq: sentTo, recovered }] }];
      const all = { ...snapshot(sentTo), data: log.slice(1) };
      if (!canResume) pending.push(all);
    };
    connect();
    for (let step = 0; step < 60; step += 1) {
      const choice = random();
      if (choice < 0.4) log.push(log.at(-1) + 1 + Math.floor(random() * 5));
      else if (choice < 0.5) connect();
      else if (choice < 0.9 && pending.length > 0) subscriptions.onMessage(pending.shift(), 0);
      else {
        for (const seq of log.filter((known) => known > sentTo)) {
          pending.push(update(seq, sentTo));
          sentTo = seq;
        }
      }
    }
    for (const seq of log.filter((known) => known > sentTo)) {
      pending.push(update(seq, sentTo));
      sentTo = seq;
    }
    for (const message of pending) assert.ok(subscriptions.onMessage(message, 0));
    assert.deepEqual([...state].sort((a, b) => a - b), log.slice(1));
    assert.equal(isLost, false);
  }
});
