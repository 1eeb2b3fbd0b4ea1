// The table of markets: live prices, filter, order, sparklines, arrow keys.

import * as format from "./format.js";

const POINTS = 96;
const SVG = "http://www.w3.org/2000/svg";
const VALUES = {
  market: (row) => row.entry.name + row.market,
  last: (row) => Number(row.figures?.last ?? NaN),
  change: (row) => Number(row.figures?.change_percent ?? NaN),
  volume: (row) => Number(row.figures?.quote_volume ?? NaN),
};

/** Order two values; what is not known comes last in either order. */
export function compare(a, b, sign) {
  if (typeof a === "string") return sign * a.localeCompare(b);
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
}

/** Return the points of a line through `values` in a box of `width` by `height`. */
export function points(values, width, height) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const spread = high - low || 1;
  return values
    .map((value, n) => {
      const x = (n / Math.max(1, values.length - 1)) * width;
      const y = 1 + (1 - (value - low) / spread) * (height - 2);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

function cell(row, kind, scope) {
  const element = document.createElement(scope ? "th" : "td");
  if (scope) element.scope = scope;
  element.className = kind;
  return row.appendChild(element);
}

/** The table; `onChoose(market)` is called when a person picks one. */
export class Markets {
  #body;
  #rows = new Map();
  #order = { by: "volume", sign: -1 };
  #filter = "";
  #chosen = null;
  #note;
  #isSortDue = false;
  #onChoose;

  constructor(table, filter, note, onChoose) {
    this.#body = table.tBodies[0];
    this.#note = note;
    this.#onChoose = onChoose;
    filter.addEventListener("input", () => {
      this.#filter = filter.value.trim().toLowerCase();
      this.#arrange();
    });
    for (const button of table.tHead.querySelectorAll("button[data-sort]")) {
      button.addEventListener("click", () => this.#sortBy(table, button));
    }
    this.#body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.#onChoose(row.dataset.market);
    });
    this.#body.addEventListener("keydown", (event) => this.#onKey(event));
    setInterval(() => this.#isSortDue && this.#arrange(), 2_000);
  }

  /** Return the entry of `market`, if it is known. */
  entry(market) {
    return this.#rows.get(market)?.entry;
  }

  /** Return the figures of `market`, if they are known. */
  figures(market) {
    return this.#rows.get(market)?.figures;
  }

  /** Return what people call a venue; chains have a number of their own. */
  venueName(venue) {
    const row = [...this.#rows.values()].find(({ entry }) => entry.chain === venue);
    return row ? format.names(row.entry)[0] : venue;
  }

  get names() {
    return [...this.#rows.keys()];
  }

  /** Take the list of markets; return those that were not known. */
  onMarkets(entries) {
    const fresh = entries.filter((entry) => !this.#rows.has(entry.market));
    for (const entry of entries) {
      const row = this.#rows.get(entry.market);
      if (row) {
        row.entry = entry;
        this.#name(row);
      } else this.#rows.set(entry.market, this.#newRow(entry));
    }
    this.#arrange();
    return fresh.map((entry) => entry.market);
  }

  /** Take the 24 h figures of a market. */
  onFigures(figures) {
    const row = this.#rows.get(figures.market);
    if (!row) return;
    const before = Number(row.figures?.last ?? figures.last);
    row.figures = figures;
    this.#write(row, Math.sign(Number(figures.last) - before));
    this.#isSortDue = true;
  }

  /** Take the closes of the last hours, oldest first, for the sparkline. */
  onCloses(market, closes) {
    const row = this.#rows.get(market);
    if (!row) return;
    row.closes = closes.slice(-POINTS).map(Number);
    this.#write(row, 0);
  }

  /** Show which market the chart has. */
  choose(market) {
    this.#chosen = market;
    for (const row of this.#rows.values()) this.#dress(row);
    this.#arrange();
  }

  #newRow(entry) {
    const element = document.createElement("tr");
    element.dataset.market = entry.market;
    element.tabIndex = -1;
    const name = cell(element, "name", "row");
    const [symbol, venue] = [document.createElement("b"), document.createElement("small")];
    name.append(symbol, " ", venue);
    const last = cell(element, "number last");
    const change = cell(element, "number change");
    const volume = cell(element, "number volume");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 64 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const line = svg.appendChild(document.createElementNS(SVG, "polyline"));
    cell(element, "spark").append(svg);
    const cells = { symbol, venue, last, change, volume, line };
    const row = { market: entry.market, entry, element, ...cells, closes: [] };
    this.#name(row);
    this.#dress(row);
    return row;
  }

  /** Write what people call a market; its address, if that is its name, is a tooltip away. */
  #name({ entry, symbol, venue, element }) {
    [venue.textContent, symbol.textContent] = format.names(entry);
    element.title = entry.name === entry.market ? "" : entry.market;
  }

  #write(row, way) {
    const { figures, entry } = row;
    if (figures) {
      row.last.textContent = format.brief(figures.last, format.places(figures.last, entry.price_scale));
      row.change.textContent = format.percent(figures.change_percent);
      row.volume.textContent = format.quantity(figures.quote_volume);
      row.element.dataset.direction = format.direction(figures.change);
      if (way !== 0) this.#blink(row.last, way);
    }
    const closes = figures && row.closes.length ? [...row.closes, Number(figures.last)] : row.closes;
    if (closes.length > 1) row.line.setAttribute("points", points(closes, 64, 20));
  }

  #blink(element, way) {
    const name = way > 0 ? "rise" : "fall";
    element.classList.remove("rise", "fall");
    void element.offsetWidth; // begin the animation again
    element.classList.add(name);
  }

  #dress(row) {
    const isChosen = row.market === this.#chosen;
    if (isChosen) row.element.setAttribute("aria-current", "true");
    else row.element.removeAttribute("aria-current");
  }

  #sortBy(table, button) {
    const by = button.dataset.sort;
    const isSame = by === this.#order.by;
    this.#order = { by, sign: isSame ? -this.#order.sign : by === "market" ? 1 : -1 };
    for (const head of table.tHead.querySelectorAll("th")) head.removeAttribute("aria-sort");
    const word = this.#order.sign > 0 ? "ascending" : "descending";
    button.closest("th").setAttribute("aria-sort", word);
    this.#arrange();
  }

  #arrange() {
    this.#isSortDue = false;
    const { by, sign } = this.#order;
    const value = VALUES[by];
    const shown = [...this.#rows.values()].filter((row) => this.#isShown(row));
    shown.sort((a, b) => compare(value(a), value(b), sign) || compare(VALUES.market(a), VALUES.market(b), 1));
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    const wanted = shown.map((row) => row.element);
    const isSame =
      wanted.length === this.#body.rows.length && wanted.every((e, n) => e === this.#body.rows[n]);
    if (!isSame) this.#body.replaceChildren(...wanted);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    const stop = focused?.isConnected ? focused : this.#rows.get(this.#chosen)?.element;
    const entrance = stop?.isConnected ? stop : wanted[0];
    for (const element of wanted) element.tabIndex = element === entrance ? 0 : -1;
    this.#note.textContent = this.#words(wanted.length);
  }

  #words(count) {
    if (count > 0) return "";
    return this.#rows.size === 0 ? "No markets yet." : "No market has this in its name.";
  }

  #isShown(row) {
    const words = this.#filter.split(/\s+/);
    const names = `${row.market} ${row.entry.name}`.toLowerCase();
    return words.every((word) => names.includes(word));
  }

  #onKey(event) {
    const row = event.target.closest("tr");
    const rows = [...this.#body.rows];
    const place = rows.indexOf(row);
    const targets = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: Math.min(rows.length - 1, place + 10),
      PageUp: Math.max(0, place - 10),
    };
    if (event.key === "Enter" || event.key === " ") this.#onChoose(row.dataset.market);
    else if (rows[targets[event.key]]) {
      rows.forEach((other) => (other.tabIndex = -1));
      rows[targets[event.key]].tabIndex = 0;
      rows[targets[event.key]].focus();
    } else return;
    event.preventDefault();
  }
}
