// How the page keeps candles, and how it writes numbers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { health } from "../../dashboards/page/feeds.js";
import * as format from "../../dashboards/page/format.js";
import { compare, points } from "../../dashboards/page/markets.js";
import { newest } from "../../dashboards/page/tape.js";
import { Series, missingBefore } from "../../dashboards/page/series.js";

const MINUTE = 60_000;
const candle = (minute, { revision = 0, updated = 0, trades = 1, status = "open" } = {}) => ({
  open_time_ms: minute * MINUTE,
  revision,
  updated_ms: updated,
  trades,
  status,
});

test("candles put in any order come out sorted, each in its newest form", () => {
  const series = new Series(MINUTE);
  const first = candle(1, { revision: 1, status: "closed" });
  const fixed = candle(1, { revision: 2, status: "corrected" });
  const outcomes = [candle(3), fixed, first, candle(2), candle(2, { updated: 5 })].map((c) =>
    series.put(c),
  );
  assert.deepEqual(outcomes, ["new", "new", "same", "new", "changed"]);
  assert.deepEqual(series.all().map((c) => c.open_time_ms / MINUTE), [1, 2, 3]);
  assert.equal(series.at(MINUTE), fixed);
  assert.equal(series.newest.open_time_ms, 3 * MINUTE);
});

test("a correction is a new revision of what was closed", () => {
  const series = new Series(MINUTE);
  assert.equal(series.put(candle(1)), "new");
  assert.equal(series.put(candle(1, { revision: 1, status: "closed" })), "changed");
  assert.equal(series.put(candle(1, { revision: 1, status: "closed" })), "same");
  assert.equal(series.put(candle(1, { revision: 2, status: "corrected" })), "corrected");
  assert.equal(series.put(candle(1, { revision: 2, status: "final", updated: 9 })), "changed");
});

test("windows without a candle are known, up to a bound", () => {
  assert.deepEqual(missingBefore(candle(5), candle(2), MINUTE), [3 * MINUTE, 4 * MINUTE]);
  assert.deepEqual(missingBefore(candle(3), candle(2), MINUTE), []);
  assert.deepEqual(missingBefore(candle(3), undefined, MINUTE), []);
  assert.equal(missingBefore(candle(10_000), candle(2), MINUTE, 7).length, 7);
});

test("prices keep every digit and get the places of their market", () => {
  assert.equal(format.price("110124", 1), "110,124.0");
  assert.equal(format.price("1234567.123456789012", 2), "1,234,567.123456789012");
  assert.equal(format.price("0.00001234", 8), "0.00001234");
  assert.equal(format.price("7", 0), "7");
  assert.equal(format.price(null, 2), "–");
});

test("changes carry their sign", () => {
  assert.equal(format.change("-1234.5", 2), "−1,234.50");
  assert.equal(format.change("1", 1), "+1.0");
  assert.equal(format.change("0", 1), "0.0");
  assert.equal(format.percent("0.1127"), "+0.11 %");
  assert.equal(format.percent("-0.001"), "0.00 %");
  assert.deepEqual(["-1", "0", "2", null].map(format.direction), [-1, 0, 1, 0]);
});

test("a feed's health is said in words", () => {
  const good = { venue: "kraken", time_ms: 0, state: "live", breaker: "closed", lag_ms: 12 };
  const report = { ...good, silence_ms: 100, gaps: 0, last_error: "" };
  assert.deepEqual(health(report, 500), { state: "good", text: "kraken: live, 12 ms delay" });
  assert.equal(health(report, 20_000).text, "kraken: no word of this feed for 20 s");
  assert.equal(health({ ...report, breaker: "open" }, 0).state, "bad");
  assert.equal(health({ ...report, state: "backfilling" }, 0).state, "weak");
  assert.equal(health({ ...report, silence_ms: 9_000 }, 0).text, "kraken: silent for 9 s");
  assert.match(health({ ...report, gaps: 2 }, 0).text, /2 gaps$/);
});

test("what is not known comes last in either order", () => {
  const values = [NaN, 2, 1];
  assert.deepEqual(values.toSorted((a, b) => compare(a, b, 1)), [1, 2, NaN]);
  assert.deepEqual(values.toSorted((a, b) => compare(a, b, -1)), [2, 1, NaN]);
});

test("a sparkline fills its box", () => {
  assert.equal(points([1, 3, 2], 64, 20), "0.0,19.0 32.0,1.0 64.0,10.0");
  assert.equal(points([5, 5], 64, 20), "0.0,19.0 64.0,19.0");
});

test("late trades go where they belong, and the oldest fall off", () => {
  const trades = [5, 9, 7].map((time_us) => ({ time_us, trade_id: 1 }));
  assert.deepEqual(newest(trades, 2).map((trade) => trade.time_us), [9, 7]);
});
