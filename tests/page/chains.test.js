// How the page shows markets of chains.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as format from "../../dashboards/page/format.js";
import { figures } from "../../dashboards/page/pool.js";

const HELD = {
  base: "RUST", quote: "USDC", kind: "reserves", base_reserve: "1000000", quote_reserve: "900000.5",
  price: "0.9000005", liquidity: null, number: 1234, is_final: false,
};

test("a market is called by its name, and an address is shortened", () => {
  const entry = { name: "localchain:RUST-USDC", symbol: "RUST-USDC", venue: "5151" };
  assert.deepEqual(format.names(entry), ["localchain", "RUST-USDC"]);
  const stream = `0x${"5fbd".padEnd(36, "0")}0aa3`;
  const unnamed = { name: `5151:${stream}/0x01`, symbol: `${stream}/0x01`, venue: "5151" };
  assert.deepEqual(format.names(unnamed), ["5151", "0x5fbd…0aa3/0x01"]);
});

test("prices of venues keep all their places, those of pools the ones that say something", () => {
  assert.equal(format.places("110123.4", 1), 1);
  assert.equal(format.places("0.90000053333333333", 18), 7);
  assert.equal(format.places("0.000123456789", 18), 10);
  assert.equal(format.places("123456.789012345678", 18), 2);
  assert.equal(format.places("0", 18), 6);
  assert.equal(format.places(undefined, 18), 18);
  assert.equal(format.brief("0.90000053333333333", 7), "0.9000005");
  assert.equal(format.brief("12.5", 3), "12.500");
  assert.equal(format.change("-0.3333333333", 4), "−0.3333");
});

test("a pool shows its reserves, and whether they may still change", () => {
  const reserves = ["Pool reserves", "1M RUST + 900K USDC"];
  assert.deepEqual(figures(HELD), [reserves, ["Since block 1,234", "not final"]]);
  assert.deepEqual(figures({ ...HELD, is_final: true })[1], ["Since block 1,234", "final"]);
});

test("concentrated liquidity shows its price, and nothing that nobody knows", () => {
  const held = { ...HELD, kind: "concentrated", base_reserve: null, quote_reserve: null };
  assert.deepEqual(figures({ ...held, liquidity: "12" }), [
    ["Pool price", "0.9000005"],
    ["Liquidity there", "12"],
    ["Since block 1,234", "not final"],
  ]);
  assert.deepEqual(figures({ ...held, price: null, liquidity: null }), []);
});
