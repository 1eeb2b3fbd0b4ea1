import assert from "node:assert/strict";
import { test } from "node:test";

import { after } from "../../dashboards/page/tape.js";

const trade = (trade_id, block) => ({ trade_id, block, time_us: trade_id, price: "1", size: "1" });
const ids = (trades) => trades.map((one) => one.trade_id);

test("trades come newest first, and a snapshot replaces them", () => {
  const first = after([], { type: "update", data: [trade(1, null), trade(3, null)] });
  assert.deepEqual(ids(after(first, { type: "update", data: [trade(2, null)] })), [3, 2, 1]);
  assert.deepEqual(ids(after(first, { type: "snapshot", data: [trade(9, null)] })), [9]);
});

test("a retraction takes out what is of later blocks, and nothing of venues", () => {
  const trades = [trade(3, 7), trade(2, 6), trade(1, null)];
  const left = after(trades, { type: "retraction", data: { above_block: 6 } });
  assert.deepEqual(ids(left), [2, 1]);
});
