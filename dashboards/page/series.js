// The candles of one chart, each in its newest form. Knows no DOM.

/** Return whether `candle` says at least as much as `known`. */
function isAsNew(candle, known) {
  const ages = [candle, known].map((c) => [
    c.revision,
    c.updated_ms,
    Number(c.status === "final"),
    c.trades,
  ]);
  const place = ages[0].findIndex((age, n) => age !== ages[1][n]);
  return place < 0 || ages[0][place] > ages[1][place];
}

/** Candles by open time; puts may come in any order and more than once. */
export class Series {
  #byTime = new Map();
  #sorted = null;

  constructor(widthMs) {
    this.widthMs = widthMs;
  }

  get size() {
    return this.#byTime.size;
  }

  /** Return the candle that opens at `openMs`, if there is one. */
  at(openMs) {
    return this.#byTime.get(openMs);
  }

  /** Return all candles, oldest first. */
  all() {
    this.#sorted ??= [...this.#byTime.values()].sort((a, b) => a.open_time_ms - b.open_time_ms);
    return this.#sorted;
  }

  get oldest() {
    return this.all()[0];
  }

  get newest() {
    return this.all().at(-1);
  }

  /** Take a candle; return `same` if it says nothing new, else `corrected`, `changed` or `new`. */
  put(candle) {
    const known = this.#byTime.get(candle.open_time_ms);
    if (known && !isAsNew(candle, known)) return "same";
    if (known && JSON.stringify(known) === JSON.stringify(candle)) return "same";
    this.#byTime.set(candle.open_time_ms, candle);
    this.#replaceSorted(candle);
    if (!known) return "new";
    return candle.revision > known.revision && known.revision > 0 ? "corrected" : "changed";
  }

  #replaceSorted(candle) {
    const last = this.#sorted?.at(-1);
    if (last?.open_time_ms === candle.open_time_ms) this.#sorted[this.#sorted.length - 1] = candle;
    else if (last?.open_time_ms < candle.open_time_ms) this.#sorted.push(candle);
    else this.#sorted = null;
  }
}

/** Return the open times, in ms, of windows missing before `candle`, at most `most` of them. */
export function missingBefore(candle, previous, widthMs, most = 500) {
  const missing = [];
  if (previous === undefined) return missing;
  let openMs = previous.open_time_ms + widthMs;
  while (openMs < candle.open_time_ms && missing.length < most) {
    missing.push(openMs);
    openMs += widthMs;
  }
  return missing;
}
