// The client of the WebSocket protocol: connects again, resumes by position. Knows no DOM.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8_000;
const SILENT_MS = 40_000; // a server that lives says something every 15 s
const SEND_EVERY_MS = 250; // it takes five messages a second
const REFUSED_WAIT_MS = 2_000;
const ALREADY_SUBSCRIBED = 105;
const LARGEST_REQUEST = 60;
const BEHIND_MS = 5_000;
const UNSETTLED_MS = 1_500; // how long a new subscription may take

/** Return how long to wait before the next attempt: jittered, and longer each time.
 *  backoffMs(0, () => 0.5) is 187.5, backoffMs(99, () => 1) is 8000. */
export function backoffMs(failures, random) {
  const bound = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 20));
  return bound * (0.5 + random() / 2);
}

/** Return whether a connection that was closed with `code` should be made again. */
export function mayReconnect(code) {
  return ![1003, 1007, 1008, 1009].includes(code) && !(code >= 3500 && code < 4000);
}

/** What is wanted, and where each channel stands: requests out, messages in, no I/O. */
export class Subscriptions {
  #channels = new Map();
  #asked = new Map(); // by the id of the request
  #leaving = new Set();
  #nextId = 1;
  #largest = LARGEST_REQUEST;

  /** Want `ch`; `options` are those of the protocol, `onMessage` gets what comes. */
  add(ch, options, onMessage) {
    const blank = { epoch: null, seq: null, isAsked: false, isOn: false, notBefore: 0 };
    this.#channels.set(ch, { ch, options, onMessage, ...blank });
  }

  /** Want `ch` no more. */
  remove(ch) {
    const channel = this.#channels.get(ch);
    if (channel?.isAsked) this.#leaving.add(ch);
    this.#channels.delete(ch);
  }

  /** Forget what the last connection was asked; positions stay. */
  onOpen() {
    this.#asked.clear();
    this.#leaving.clear();
    for (const channel of this.#channels.values()) {
      Object.assign(channel, { isAsked: false, isOn: false, notBefore: 0 });
    }
  }

  /** Return whether everything that is wanted is being sent. */
  get isComplete() {
    return [...this.#channels.values()].every((channel) => channel.isOn);
  }

  /** Return the next request as text, or null if there is none to make now. */
  nextRequest(nowMs) {
    const due = [...this.#channels.values()].filter(
      (channel) => !channel.isAsked && !this.#leaving.has(channel.ch) && nowMs >= channel.notBefore,
    );
    if (due.length > 0) return this.#subscribe(due.slice(0, this.#largest));
    if (this.#leaving.size === 0) return null;
    const channels = [...this.#leaving];
    this.#leaving.clear();
    return JSON.stringify({ id: this.#nextId++, op: "unsubscribe", channels });
  }

  /** Take one message; return false if something was lost, which the protocol rules out. */
  onMessage(message, nowMs) {
    if (message.id !== undefined) this.#onAnswer(message, nowMs);
    const channel = this.#channels.get(message.ch);
    if (!channel?.isOn) return true; // left over from what was left
    if (message.type === "snapshot") {
      Object.assign(channel, { epoch: channel.newEpoch, seq: message.seq });
    } else if (message.seq <= channel.seq) {
      return true; // had it
    } else if (message.prev !== channel.seq) {
      Object.assign(channel, { epoch: null, seq: null });
      return false;
    } else {
      channel.seq = message.seq;
    }
    channel.onMessage(message);
    return true;
  }

  #subscribe(channels) {
    const id = this.#nextId++;
    this.#asked.set(id, channels);
    const wanted = channels.map((channel) => {
      channel.isAsked = true;
      const { ch, options, epoch, seq } = channel;
      return epoch === null ? { ch, ...options } : { ch, ...options, resume: { epoch, seq } };
    });
    return JSON.stringify({ id, op: "subscribe", channels: wanted });
  }

  #onAnswer(message, nowMs) {
    const asked = this.#asked.get(message.id) ?? [];
    const channels = asked.filter((channel) => this.#channels.get(channel.ch) === channel);
    this.#asked.delete(message.id);
    if (!message.ok) {
      this.#onRefusal(asked.length, channels, message.error, nowMs);
      return;
    }
    this.#largest = Math.min(LARGEST_REQUEST, this.#largest * 2);
    const results = new Map(message.results?.map((result) => [result.ch, result]));
    for (const channel of channels) {
      const result = results.get(channel.ch);
      if (result === undefined) continue;
      const hasSnapshot = result.recovered === false || (!channel.epoch && channel.options.snapshot);
      channel.isOn = true;
      channel.newEpoch = result.epoch;
      // Until a snapshot has come there is no position to resume from.
      channel.epoch = hasSnapshot ? null : result.epoch;
      channel.seq = hasSnapshot ? null : result.seq;
    }
  }

  #onRefusal(count, channels, error, nowMs) {
    // All are refused for one: ask for fewer, and later for one that is refused alone.
    this.#largest = Math.max(1, Math.ceil(count / 2));
    for (const channel of channels) {
      channel.isAsked = false;
      if (count > 1) continue;
      channel.notBefore = nowMs + REFUSED_WAIT_MS;
      if (error.code === ALREADY_SUBSCRIBED) this.#leaving.add(channel.ch);
      else channel.onMessage({ ch: channel.ch, type: "refused", error });
    }
  }
}

/** A stream of channels over connections that come and go.
 *
 *  `onState(state, detail)` is told `connecting`, `live`, `behind`, `reconnecting` or `refused`.
 *  `outside` holds `WebSocket`, `now`, `random`, `setTimeout` and `clearTimeout`.
 */
export class Stream {
  state = "connecting";
  serverLeadMs = 0; // how far the server's clock is ahead of ours
  #url;
  #outside;
  #onState;
  #subscriptions = new Subscriptions();
  #socket = null;
  #failures = 0;
  #timers = {};
  #retryRange = null;
  #lagMs = 0;
  #unsettledMs = null; // since when something that is wanted does not come

  constructor(url, onState, outside) {
    [this.#url, this.#onState, this.#outside] = [url, onState, outside];
  }

  /** Get `ch` from now on. */
  subscribe(ch, options, onMessage) {
    this.#subscriptions.add(ch, options, onMessage);
    this.#ask();
  }

  /** Get `ch` no more. */
  unsubscribe(ch) {
    this.#subscriptions.remove(ch);
    this.#ask();
  }

  /** Connect at once, unless connected. */
  connect() {
    if (this.#socket !== null) return;
    this.#stop("retry");
    const socket = new this.#outside.WebSocket(this.#url);
    this.#socket = socket;
    this.#listenFor(socket);
    socket.onopen = () => {
      this.#lagMs = 0;
      this.#subscriptions.onOpen();
      this.#ask();
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#onFrame(event.data);
    };
    socket.onclose = (event) => this.#onClose(socket, event);
  }

  #onFrame(text) {
    this.#listenFor(this.#socket);
    const nowMs = this.#outside.now();
    for (const line of text.split("\n")) {
      const message = JSON.parse(line);
      if (message.type === "goaway") this.#retryRange = message.retry_after_ms;
      const thenMs = message.type === "hb" ? message.t : message.tp;
      if (thenMs !== undefined) this.#lagMs = nowMs + this.serverLeadMs - thenMs;
      if (!this.#subscriptions.onMessage(message, nowMs)) {
        this.#drop();
        return;
      }
    }
    if (this.#subscriptions.isComplete) this.#failures = 0;
    this.#ask();
    this.#report();
  }

  #onClose(socket, { code }) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#stop("silence");
    this.#stop("ask");
    if (!mayReconnect(code)) {
      this.#say("refused", `closed with code ${code}`);
      return;
    }
    const { random } = this.#outside;
    const [low, high] = this.#retryRange ?? [0, 0];
    const asTold = low + (high - low) * random();
    const waitMs = this.#retryRange ? asTold : backoffMs(this.#failures++, random);
    this.#retryRange = null;
    this.#say("reconnecting", `next attempt in ${(waitMs / 1000).toFixed(1)} s`);
    this.#start("retry", waitMs, () => this.connect());
  }

  #ask() {
    if (this.#socket?.readyState !== 1 || this.#timers.ask !== undefined) return;
    const request = this.#subscriptions.nextRequest(this.#outside.now());
    if (request !== null) this.#socket.send(request);
    this.#report();
    if (request !== null || !this.#subscriptions.isComplete) {
      this.#start("ask", SEND_EVERY_MS, () => this.#ask());
    }
  }

  /** Take a connection on which nothing is heard for one that is gone. */
  #listenFor(socket) {
    this.#start("silence", SILENT_MS, () => socket === this.#socket && this.#drop());
  }

  #drop() {
    const socket = this.#socket;
    this.#onClose(socket, { code: 1006 });
    socket.close();
  }

  #report() {
    if (this.#subscriptions.isComplete) {
      this.#unsettledMs = null;
      if (this.#lagMs <= BEHIND_MS) this.#say("live", "");
      else this.#say("behind", `${Math.round(this.#lagMs / 1000)} s behind`);
      return;
    }
    this.#unsettledMs ??= this.#outside.now();
    const isLong = this.#outside.now() - this.#unsettledMs > UNSETTLED_MS;
    if (isLong) this.#say("behind", "catching up");
  }

  #say(state, detail) {
    const isNews = state !== this.state || detail !== this.detail;
    [this.state, this.detail] = [state, detail];
    if (isNews) this.#onState(state, detail);
  }

  #start(name, waitMs, then) {
    this.#stop(name);
    this.#timers[name] = this.#outside.setTimeout(() => {
      delete this.#timers[name];
      then();
    }, waitMs);
  }

  #stop(name) {
    this.#outside.clearTimeout(this.#timers[name]);
    delete this.#timers[name];
  }
}
