// The newest trades of the market on the chart.

import * as format from "./format.js";

const SHOWN = 40;

/** Return the newest `count` of `trades`, newest first; late ones go where they belong. */
export function newest(trades, count) {
  const sorted = trades.toSorted((a, b) => b.time_us - a.time_us || b.trade_id - a.trade_id);
  return sorted.slice(0, count);
}

/** Return `trades` after `message`: a snapshot, new trades, or a retraction of trades. */
export function after(trades, message) {
  if (message.type === "retraction") {
    return trades.filter((trade) => trade.block === null || trade.block <= message.data.above_block);
  }
  const known = message.type === "snapshot" ? [] : trades;
  return newest([...message.data, ...known], SHOWN);
}

/** The list of trades, newest first. */
export class Tape {
  #body;
  #trades = [];
  #places = { price: 2, size: 4 };

  constructor(table) {
    this.#body = table.tBodies[0];
  }

  /** Begin again with another market. */
  clear(places) {
    this.#places = places;
    this.#trades = [];
    this.#draw();
  }

  /** Take a snapshot or new trades. */
  onMessage(message) {
    if (message.type === "refused") return;
    this.#trades = after(this.#trades, message);
    this.#draw();
  }

  #draw() {
    while (this.#body.rows.length > this.#trades.length) this.#body.deleteRow(-1);
    while (this.#body.rows.length < this.#trades.length) {
      const row = this.#body.insertRow();
      for (const kind of ["number price", "number size", "number time"]) {
        row.insertCell().className = kind;
      }
    }
    this.#trades.forEach((trade, n) => {
      const row = this.#body.rows[n];
      row.dataset.side = trade.side ?? "";
      const texts = [
        format.brief(trade.price, this.#places.price),
        format.brief(trade.size, this.#places.size),
        format.second(trade.time_us / 1000),
      ];
      texts.forEach((text, at) => (row.cells[at].textContent = text));
    });
  }
}
