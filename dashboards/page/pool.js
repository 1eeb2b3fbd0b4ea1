// What the pool of the market on the chart holds.

import * as format from "./format.js";

/** Return the figures of a pool as `[name, text]`; the last says since when they are so. */
export function figures(held) {
  const rows = [];
  const amount = (text, unit) => `${format.quantity(text)} ${unit}`;
  if (held.base_reserve !== null) {
    const both = [amount(held.base_reserve, held.base), amount(held.quote_reserve, held.quote)];
    rows.push(["Pool reserves", both.join(" + ")]);
  }
  if (held.kind === "concentrated" && held.price !== null) {
    rows.push(["Pool price", format.brief(held.price, format.places(held.price, 18))]);
  }
  if (held.liquidity !== null) rows.push(["Liquidity there", format.quantity(held.liquidity)]);
  const block = `Since block ${held.number.toLocaleString("en")}`;
  if (rows.length > 0) rows.push([block, held.is_final ? "final" : "not final"]);
  return rows;
}

/** The figures below the name of the market. */
export class Pool {
  #list;

  constructor(list) {
    this.#list = list;
  }

  /** Show nothing. */
  clear() {
    this.#list.hidden = true;
    this.#list.replaceChildren();
  }

  /** Show what a pool holds. */
  show(held) {
    const items = figures(held).map(([name, text]) => {
      const item = document.createElement("div");
      item.appendChild(document.createElement("dt")).textContent = name;
      item.appendChild(document.createElement("dd")).textContent = text;
      return item;
    });
    this.#list.title = held.is_final ? "" : "The block may still be replaced.";
    this.#list.dataset.final = held.is_final;
    this.#list.hidden = items.length === 0;
    this.#list.replaceChildren(...items);
  }
}
