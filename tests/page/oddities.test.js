// The list of what was unusual, and its marks on the chart.

import assert from "node:assert/strict";
import test from "node:test";

import { after, marks, newest, sentences, spaced, title } from "../../dashboards/page/oddities.js";

const MINUTE_MS = 60_000;

function entry(second, changes = {}) {
  const reasons = [{ feature: "size", value: 41, usual: 0.2, words: "size 41 at once" }];
  return { anomaly_id: `${second}`, time_us: second * 1e6, kind: "size", status: "raised", reasons, ...changes };
}

test("a snapshot replaces all, an update what has its id", () => {
  const first = after(new Map(), { type: "snapshot", data: [entry(1), entry(2)] });
  const grown = after(first, { type: "update", data: entry(1, { kind: "pace" }) });
  assert.deepEqual(newest(grown).map((one) => [one.anomaly_id, one.kind]), [["2", "size"], ["1", "pace"]]);
  const again = after(grown, { type: "snapshot", data: [entry(9)] });
  assert.deepEqual([...again.keys()], ["9"]);
});

test("candles are marked once, with all that was unusual in them", () => {
  const candles = [0, MINUTE_MS, 3 * MINUTE_MS].map((open_time_ms) => ({ open_time_ms }));
  const told = [entry(190), entry(5), entry(10), entry(20, { kind: "impact" }), entry(130), entry(-1)];
  told.push(entry(70, { status: "withdrawn" }));
  const known = new Map(told.map((one) => [one.anomaly_id, one]));
  assert.deepEqual(marks(known, candles, MINUTE_MS), [
    { openMs: 0, text: "Large, Jump" },
    { openMs: 3 * MINUTE_MS, text: "Large" },
  ]);
});

test("what was withdrawn says so", () => {
  assert.deepEqual(sentences(entry(1)), ["Size 41 at once."]);
  assert.match(sentences(entry(1, { status: "withdrawn" }))[0], /took it back/);
  assert.equal(title(entry(1, { kind: "newness" })), "Newcomers");
});

test("words of marks do not lie upon those of their neighbours", () => {
  const mark = (time, text, shape = "circle") => ({ time, text, shape });
  const told = [mark(0, "Large"), mark(540, "Jump"), mark(600, "corrected", "arrowDown"), mark(1140, "Busy")];
  const words = spaced(told, 600).map(({ text }) => text);
  assert.deepEqual(words, ["", "Jump", "corrected", "Busy"]);
});
