// What the pool of the market on the chart holds.

import * as format from "./format.js";

/** Return the figures of a pool as `[name, text]`, and `note` on how final they are. */
export function figures(held) {
  const rows = [];
  const add = (name, text) => text !== null && rows.push([name, text]);
  const amount = (text, unit) => (text === null ? null : `${format.quantity(text)} ${unit}`);
  add("Pool", amount(held.base_reserve, held.base));
  add("and", amount(held.quote_reserve, held.quote));
  if (held.kind === "concentrated") {
    add("Pool price", held.price === null ? null : format.brief(held.price, format.places(held.price, 18)));
    add("Liquidity at it", held.liquidity === null ? null : format.quantity(held.liquidity));
  }
  return rows;
}

/** Return in words after which block that is so. */
export function note(held) {
  const block = `after block ${held.number.toLocaleString("en")}`;
  return held.is_final ? `${block}, final` : `${block}, which may still be replaced`;
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
    this.#list.title = note(held);
    this.#list.dataset.final = held.is_final;
    this.#list.hidden = items.length === 0;
    this.#list.replaceChildren(...items);
  }
}
