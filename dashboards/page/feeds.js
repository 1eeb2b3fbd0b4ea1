// How the feeds do, in words.

import { span } from "./format.js";

const STALE_MS = 10_000;
const SILENT_MS = 8_000;

/** Return `{ state, text }` of one report; `state` is `good`, `weak` or `bad`. */
export function health(report, nowMs, name = report.venue) {
  const ageMs = nowMs - report.time_ms;
  const isBad = (text) => ({ state: "bad", text: `${name}: ${text}` });
  const isWeak = (text) => ({ state: "weak", text: `${name}: ${text}` });
  if (ageMs > STALE_MS) return isBad(`no word of this feed for ${span(ageMs)}`);
  if (report.breaker === "open") return isBad("requests paused after failures");
  if (report.state === "connecting") {
    return isBad(report.last_error ? `connecting (${report.last_error})` : "connecting");
  }
  if (report.state === "halted" || report.state === "standby") {
    return isBad(`${report.state} (${report.last_error})`);
  }
  if (report.state === "backfilling") return isWeak("fetching missed trades");
  if (report.silence_ms > SILENT_MS) return isWeak(`silent for ${span(report.silence_ms)}`);
  const lag = report.lag_ms === null ? "" : `, ${span(Math.max(0, report.lag_ms))} delay`;
  const gaps = report.gaps > 0 ? `, ${report.gaps} gap${report.gaps > 1 ? "s" : ""}` : "";
  return { state: "good", text: `${name}: live${lag}${gaps}` };
}

/** The list of feeds at the foot of the page. */
export class Feeds {
  #reports = new Map();
  #list;
  #now;
  #nameOf;

  constructor(list, now, nameOf) {
    [this.#list, this.#now, this.#nameOf] = [list, now, nameOf];
  }

  onMessage(message) {
    if (message.type === "refused") return;
    const reports = message.type === "snapshot" ? message.data : [message.data];
    for (const report of reports) this.#reports.set(report.venue, report);
    this.draw();
  }

  draw() {
    const found = [...this.#reports.values()].map((report) =>
      health(report, this.#now(), this.#nameOf(report.venue)),
    );
    while (this.#list.children.length > found.length) this.#list.lastChild.remove();
    found.forEach(({ state, text }, n) => {
      const item = this.#list.children[n] ?? this.#list.appendChild(document.createElement("li"));
      item.dataset.state = state;
      if (item.textContent !== text) item.textContent = text;
    });
  }
}
