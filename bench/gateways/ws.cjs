// npm's `ws`: a set of sockets a channel, and `send` to one after the other.
"use strict";

const { WebSocketServer } = require("ws");
const { createInterface } = require("node:readline");

const [port, count] = process.argv.slice(2).map(Number);
const MARKETS = Array.from({ length: 100 }, (_, n) => `bench:M${String(n).padStart(3, "0")}-USD`);
const SHAPES = ["ticker:{}", ..."1m 5m 15m 1h 4h 1d 1w".split(" ").map((i) => `candles:{}:${i}`)];
const channels = new Map();
let seq = 0;
let running = null;

const options = { host: "127.0.0.1", port, backlog: 4096, perMessageDeflate: false };
new WebSocketServer(options).on("connection", (socket) => {
  const names = [];
  socket.on("message", (request) => {
    for (const { ch } of JSON.parse(request).channels) {
      if (!channels.has(ch)) channels.set(ch, new Set());
      channels.get(ch).add(socket);
      names.push(ch);
    }
    socket.send('{"id":1,"ok":true}');
  });
  socket.on("close", () => names.forEach((name) => channels.get(name).delete(socket)));
  socket.on("error", () => {});
});

function publish(market, dueUs) {
  seq += 1000;
  const t = Math.floor(dueUs / 1000);
  for (const shape of SHAPES.slice(0, count)) {
    const ch = shape.replace("{}", market);
    const data = {
      t_us: dueUs, market, open: "91234.50", high: "91999.00", low: "90001.25",
      close: "91503.75", volume: "1532.90412873", trades: 18230,
    };
    const update = { ch, type: "update", seq, prev: seq - 1000, conflated: 0, te: t, tp: t, data };
    const frame = Buffer.from(JSON.stringify(update));
    for (const socket of channels.get(ch) ?? []) socket.send(frame, { binary: false });
  }
}

async function run(perS, mine) {
  const stepMs = 1000 / (perS * MARKETS.length);
  const startMs = performance.now();
  const startUs = Date.now() * 1000;
  let done = 0;
  while (running === mine) {
    const due = Math.floor((performance.now() - startMs) / stepMs);
    for (; done < due && running === mine; done++) {
      publish(MARKETS[done % MARKETS.length], startUs + Math.floor(done * stepMs * 1000));
      await new Promise(setImmediate);
    }
    await new Promise((wake) => setTimeout(wake, 1));
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [word, perS] = line.split(" ");
  running = word === "go" ? {} : null;
  if (running) run(Number(perS), running);
});
lines.on("close", () => process.exit(0));
