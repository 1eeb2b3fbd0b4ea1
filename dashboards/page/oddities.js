// What was unlike before in the market on the chart: a list with reasons.

import * as format from "./format.js";

const SHOWN = 30;
const KINDS = {
  size: "Large",
  pace: "Busy",
  impact: "Jump",
  newness: "Newcomers",
  combination: "Mixed",
};

/** Return `known` after `message`, by id: a snapshot replaces all, an update its own. */
export function after(known, message) {
  const entries = new Map(message.type === "snapshot" ? [] : known);
  const told = message.type === "snapshot" ? message.data : [message.data];
  for (const entry of told) entries.set(entry.anomaly_id, entry);
  return entries;
}

/** Return entries, newest first. */
export function newest(known) {
  return [...known.values()].sort((a, b) => b.time_us - a.time_us).slice(0, SHOWN);
}

/** Return the open times of the candles in which something was raised, each with its words, oldest
 *  first; `candles` are sorted. */
export function marks(known, candles, widthMs) {
  const found = new Map();
  for (const entry of known.values()) {
    if (entry.status !== "raised") continue;
    const candle = candles.findLast((each) => each.open_time_ms <= entry.time_us / 1000);
    if (!candle || entry.time_us / 1000 >= candle.open_time_ms + widthMs) continue;
    const words = found.get(candle.open_time_ms) ?? new Set();
    found.set(candle.open_time_ms, words.add(title(entry)));
  }
  return [...found].sort((a, b) => a[0] - b[0]).map(([openMs, words]) => ({ openMs, text: [...words].join(", ") }));
}

/** Return `marks`, sorted by time, with words only where no later one of its kind is so near that
 *  they would overlap. */
export function spaced(marks, nearS) {
  return marks.map((mark, place) => {
    const next = marks.slice(place + 1).find((each) => each.shape === mark.shape);
    return next && next.time - mark.time < nearS ? { ...mark, text: "" } : mark;
  });
}

/** Return what an entry is called. */
export function title(entry) {
  return KINDS[entry.kind] ?? entry.kind;
}

/** Return all reasons of an entry as one sentence each. */
export function sentences(entry) {
  const said = entry.reasons.map(({ words }) => `${words[0].toUpperCase()}${words.slice(1)}.`);
  if (entry.status === "withdrawn") said.unshift("Withdrawn: the chain took it back.");
  return said;
}

/** The list below the markets. */
export class Oddities {
  #box;
  #list;
  #known = new Map();
  onChange = () => {};

  constructor(box) {
    this.#box = box;
    this.#list = box.querySelector("ol");
  }

  /** Return what is known, by id. */
  get known() {
    return this.#known;
  }

  /** Begin again with another market. */
  clear() {
    this.#known = new Map();
    this.#draw();
  }

  /** Take a snapshot, or one entry in a new form. */
  onMessage(message) {
    if (message.type === "refused") return;
    this.#known = after(this.#known, message);
    this.#draw();
  }

  #draw() {
    const shown = newest(this.#known);
    this.#box.hidden = shown.length === 0;
    this.#list.replaceChildren(...shown.map(item));
    this.onChange(this.#known);
  }
}

function item(entry) {
  const row = document.createElement("li");
  row.dataset.status = entry.status;
  const head = row.appendChild(document.createElement("p"));
  head.appendChild(document.createElement("b")).textContent = title(entry);
  const time = head.appendChild(document.createElement("time"));
  const iso = new Date(entry.time_us / 1000).toISOString();
  time.dateTime = iso;
  time.textContent = `${iso.slice(5, 10)} ${format.second(entry.time_us / 1000)}`;
  for (const sentence of sentences(entry)) {
    row.appendChild(document.createElement("p")).textContent = sentence;
  }
  if (entry.address) row.appendChild(document.createElement("p")).textContent = `By ${format.short(entry.address)}`;
  return row;
}
