import assert from "node:assert/strict";
import { test } from "node:test";

import { calibrationWords, course, current, judgement, sureness } from "../../dashboards/page/outlook.js";

const model = (fields) => ({
  verdict: "no better than the base rate",
  labels: 1200,
  skill: 0.0031,
  ece: 0.03,
  ece_floor: 0.05,
  ...fields,
});

test("what may be luck is not called better", () => {
  assert.match(judgement(model()), /^No better than the base rate so far: ahead by 0.31 %, which may be luck/);
  assert.match(judgement(model({ skill: -0.01 })), /behind by 1.00 % after 1,200 predictions/);
  assert.match(judgement(model({ verdict: "better than the base rate" })), /^Better than the base rate by 0.31 %/);
  assert.match(judgement(null), /^Still learning: 0/);
  assert.match(judgement(model({ verdict: "learning", labels: 7 })), /^Still learning: 7/);
});

test("what has expired is not shown, and the nearest comes first", () => {
  const entries = new Map([
    [5, { horizon: 5, expires_at: 11 }],
    [1, { horizon: 1, expires_at: 12 }],
    [15, { horizon: 15, expires_at: 10 }],
  ]);
  assert.deepEqual(current(entries, 10).map((entry) => entry.horizon), [1, 5]);
});

test("calibration is judged against what chance alone makes", () => {
  assert.match(calibrationWords(model()), /3.0 points on average, which chance explains \(it alone makes 5.0 points\)/);
  assert.match(calibrationWords(model({ ece: 0.06 })), /, which chance explains/);
  assert.match(calibrationWords(model({ ece: 0.07 })), /, more than chance/);
  assert.equal(calibrationWords(model({ ece: null })), "");
});

test("no confidence is said as what it is", () => {
  assert.match(sureness(0), /^none/);
  assert.deepEqual([0.01, 0.1, 0.3, 0.9].map(sureness), ["very low", "low", "medium", "high"]);
});

test("the course of the skill fits its frame, with nothing in the middle", () => {
  const points = [0.01, null, -0.02].map((skill, n) => ({ time_ms: n, skill }));
  const found = course(points);
  assert.deepEqual(found.points, [[0, 0.25], [1, 1]]);
  assert.equal(found.most, 0.02);
  assert.deepEqual(course([]).points, []);
});
