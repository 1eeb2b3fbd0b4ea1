// What the address chooses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { named } from "../../dashboards/page/address.js";

const INTERVALS = ["1m", "5m"];
const read = (hash) => Object.values(named(hash, INTERVALS));

test("an address names a market and an interval, or a market alone", () => {
  assert.deepEqual(read("#kraken:BTC-USD/5m"), ["kraken:BTC-USD", "5m"]);
  assert.deepEqual(read("#kraken:BTC-USD"), ["kraken:BTC-USD", ""]);
  assert.deepEqual(read("#kraken%3ABTC-USD/1m"), ["kraken:BTC-USD", "1m"]);
});

test("a market may have a slash in its name", () => {
  assert.deepEqual(read("#kraken:BTC/USD/5m"), ["kraken:BTC/USD", "5m"]);
  assert.deepEqual(read("#kraken:BTC/USD"), ["kraken:BTC/USD", ""]);
});

test("a place on the page is no market", () => {
  assert.deepEqual(read("#markets"), ["", ""]);
  assert.deepEqual(read(""), ["", ""]);
  assert.deepEqual(read("#/5m"), ["", "5m"]);
});

test("what cannot be decoded names nothing", () => {
  assert.deepEqual(read("#100%"), ["", ""]);
});
