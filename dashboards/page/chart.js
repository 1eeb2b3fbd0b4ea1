// The chart: candles, volume, and the legend of the candle under the cursor.

import * as format from "./format.js";
import { marks as oddMarks, spaced } from "./oddities.js";
import { missingBefore } from "./series.js";
import { color } from "./theme.js";

const RIGHT_BARS = 6;
const [NARROWEST, WIDEST] = [7, 24];
const NARROW_PX = 600;
const AXIS_PX = 80; // what the scale of prices takes, about
const NEAR_BARS = 20; // so near to the oldest candle older ones are asked for
const MARK_MS = 4_000;
const WORD_BARS = 10; // the words of a mark are as wide, where candles are narrow
const VOLUME_SHARE = 0.18;

/** Return how a candle looks: hollow if incomplete, pale while its chain may take trades back, grey
 *  if quiet, highlighted if just corrected. */
function look(candle, isFresh, isPending) {
  const way = Number(candle.close) >= Number(candle.open) ? "up" : "down";
  let tint = color(way);
  if (candle.fill === "carry") tint = color("quiet");
  if (isFresh) tint = color("mark");
  let body = tint;
  if (!candle.complete && !isFresh) body = color("panel");
  else if (isPending && !isFresh && candle.fill !== "carry") body = color(`${way}-soft`);
  return { color: body, borderColor: tint, wickColor: tint };
}

function bar(candle, isFresh, isPending) {
  const [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(Number);
  const time = candle.open_time_ms / 1000;
  return { time, open, high, low, close, ...look(candle, isFresh, isPending) };
}

function column(candle) {
  const isUp = Number(candle.close) >= Number(candle.open);
  const tint = color(isUp ? "up-soft" : "down-soft");
  return { time: candle.open_time_ms / 1000, value: Number(candle.volume), color: tint };
}

/** Draws one series at a time; `onOlder` is called when older candles come into view. */
export class Chart {
  #lib;
  #chart;
  #prices;
  #volumes;
  #marks;
  #legend;
  #series = null;
  #places = 2;
  #isChain = false;
  #targets = [];
  #odd = new Map(); // what was unlike before, by id
  #fresh = new Map(); // corrected a moment ago: open time -> timer
  #hovered = null;
  #isFitted = false;
  #box;
  onOlder = () => {};

  constructor(lib, box, legend) {
    this.#lib = lib;
    this.#legend = legend;
    this.#box = box;
    this.#chart = lib.createChart(box, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily },
      crosshair: { mode: lib.CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: RIGHT_BARS },
      localization: { locale: "en", timeFormatter: (time) => `${format.minute(time * 1000)} UTC` },
    });
    this.#prices = this.#chart.addSeries(lib.CandlestickSeries, { priceLineVisible: true });
    this.#volumes = this.#chart.addSeries(lib.HistogramSeries, {
      priceScaleId: "",
      priceFormat: { type: "volume" },
      priceLineVisible: false,
      lastValueVisible: false,
    });
    this.#volumes.priceScale().applyOptions({ scaleMargins: { top: 1 - VOLUME_SHARE, bottom: 0 } });
    this.#prices.priceScale().applyOptions({ scaleMargins: { top: box.clientWidth < NARROW_PX ? 0.2 : 0.12, bottom: VOLUME_SHARE + 0.04 } });
    this.#marks = lib.createSeriesMarkers(this.#prices, []);
    this.#chart.subscribeCrosshairMove((event) => this.#onCursor(event));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.#wantOlder());
    this.dress();
  }

  /** Take over the colours of the theme. */
  dress() {
    const line = { color: color("grid") };
    this.#chart.applyOptions({
      layout: { background: { color: color("panel") }, textColor: color("muted") },
      grid: { vertLines: line, horzLines: line },
      rightPriceScale: { borderColor: color("line") },
      timeScale: { borderColor: color("line") },
    });
    if (this.#series) this.#redraw();
  }

  /** Show another series, whose prices have `places` after the point. */
  show(series, places) {
    this.#series = series;
    this.#hovered = null;
    for (const timer of this.#fresh.values()) clearTimeout(timer);
    this.#fresh.clear();
    this.setPlaces(places);
    this.refill();
    this.#isFitted = false;
    this.#fit();
    this.#prices.priceScale().applyOptions({ autoScale: true });
  }

  /** Show another form of the same series, without moving. */
  replace(series) {
    this.#series = series;
    this.refill();
  }

  /** Draw where the price is expected: its middle, and between which prices 8 times in 10. */
  setTarget(entry) {
    for (const line of this.#targets) this.#prices.removePriceLine(line);
    this.#targets = [];
    if (entry === null) return;
    const [low, high] = [entry.quantiles[1], entry.quantiles[5]];
    const rows = [[high, "90 %", 3], [entry.price_target, "target", 2], [low, "10 %", 3]];
    for (const [price, title, lineStyle] of rows) {
      const options = { price, title, lineStyle, lineWidth: 1, color: color("accent"), axisLabelVisible: false };
      this.#targets.push(this.#prices.createPriceLine(options));
    }
  }

  /** Mark the candles in which something was unlike before. */
  setOddities(known) {
    this.#odd = known;
    this.#mark();
  }

  /** Return the open times of candles that are marked as unusual. */
  get odd() {
    return this.#oddities().map(({ openMs }) => openMs);
  }

  /** Say whether the market is on a chain, where candles that are not final are pale. */
  setChain(isChain) {
    if (isChain === this.#isChain) return;
    this.#isChain = isChain;
    if (this.#series) this.#redraw();
    this.#write();
  }

  /** Show so many places after the point of a price. */
  setPlaces(places) {
    this.#places = places;
    const shown = Math.min(places, 12);
    const formatter = (value) => format.price(value.toFixed(shown), shown);
    this.#prices.applyOptions({
      priceFormat: { type: "custom", formatter, minMove: 10 ** -shown },
    });
  }

  /** Draw every candle, keeping the eye where it is when older ones have come. */
  refill() {
    this.#redraw();
    this.#fit();
    this.#write();
    this.#wantOlder();
  }

  /** Draw what `put` of the series said of `candle`. */
  update(candle, outcome) {
    const isLast = candle === this.#series.newest;
    const before = this.#series.all().at(-2);
    if (outcome === "corrected") this.#flash(candle);
    else if (outcome === "new") this.#mark();
    const leavesHole = isLast && missingBefore(candle, before, this.#series.widthMs).length > 0;
    if (outcome === "new" && (!isLast || leavesHole)) this.#redraw();
    else this.#draw(candle, !isLast);
    this.#write();
  }

  /** Return the bar that is drawn at `openMs`. */
  drawn(openMs) {
    return this.#prices.data().find((item) => item.time === openMs / 1000 && "open" in item) ?? null;
  }

  /** Return how many candles are drawn. */
  get count() {
    return this.#prices.data().filter((item) => "open" in item).length;
  }

  /** Scroll by `bars`; 0 goes to the newest. */
  scroll(bars) {
    const scale = this.#chart.timeScale();
    if (bars === 0) scale.scrollToRealTime();
    else scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /** Show more or fewer candles. */
  zoom(factor) {
    const scale = this.#chart.timeScale();
    const spacing = scale.options().barSpacing * factor;
    scale.applyOptions({ barSpacing: Math.min(60, Math.max(1, spacing)) });
  }

  #wantOlder() {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    if (range !== null && range.from < NEAR_BARS && this.#series?.size) this.onOlder();
  }

  /** Make few candles wide, once there are any. */
  #fit() {
    if (this.#isFitted || this.#series.size === 0) return;
    this.#isFitted = true;
    const scale = this.#chart.timeScale();
    const room = (this.#box.clientWidth - AXIS_PX) / (this.#series.size + RIGHT_BARS);
    scale.applyOptions({ barSpacing: Math.min(WIDEST, Math.max(NARROWEST, room)) });
    scale.scrollToPosition(this.#box.clientWidth < NARROW_PX ? 2 : RIGHT_BARS, false);
  }

  #draw(candle, isInside) {
    this.#prices.update(this.#bar(candle), isInside);
    this.#volumes.update(column(candle), isInside);
  }

  #bar(candle) {
    const isPending = this.#isChain && candle.status !== "final";
    return bar(candle, this.#fresh.has(candle.open_time_ms), isPending);
  }

  #redraw() {
    const [prices, volumes] = [[], []];
    let previous;
    for (const candle of this.#series.all()) {
      for (const openMs of missingBefore(candle, previous, this.#series.widthMs)) {
        prices.push({ time: openMs / 1000 });
      }
      prices.push(this.#bar(candle));
      volumes.push(column(candle));
      previous = candle;
    }
    this.#prices.setData(prices);
    this.#volumes.setData(volumes);
    this.#mark();
  }

  /** Mark a corrected candle for a moment. */
  #flash(candle) {
    const openMs = candle.open_time_ms;
    clearTimeout(this.#fresh.get(openMs));
    const end = () => {
      this.#fresh.delete(openMs);
      this.#mark();
      const now = this.#series.at(openMs);
      if (now) this.#draw(now, now !== this.#series.newest);
    };
    this.#fresh.set(openMs, setTimeout(end, MARK_MS));
    this.#mark();
  }

  #mark() {
    const corrected = [...this.#fresh.keys()].map((openMs) => ({
      time: openMs / 1000,
      position: "aboveBar",
      shape: "arrowDown",
      color: color("mark"),
      text: "corrected",
    }));
    const odd = this.#oddities().map(({ openMs, text }) => ({
      time: openMs / 1000,
      position: "belowBar",
      shape: "circle",
      color: color("odd"),
      text,
    }));
    const marks = [...corrected, ...odd].sort((a, b) => a.time - b.time);
    const widthS = (this.#series?.widthMs ?? 0) / 1000;
    this.#marks.setMarkers(spaced(marks, WORD_BARS * widthS));
  }

  #oddities() {
    return this.#series ? oddMarks(this.#odd, this.#series.all(), this.#series.widthMs) : [];
  }

  #onCursor(event) {
    this.#hovered = event.time === undefined ? null : event.time * 1000;
    this.#write();
  }

  #write() {
    const candle = this.#series?.at(this.#hovered) ?? this.#series?.newest;
    if (this.#series) this.#legend(candle, this.#places, this.#isChain);
  }
}

/** Return a function that writes a candle into the elements `data-field` below `box`. */
export function legend(box) {
  const fields = new Map([...box.querySelectorAll("[data-field]")].map((e) => [e.dataset.field, e]));
  const traders = box.querySelector('[data-optional="traders"]');
  return (candle, places, isChain) => {
    box.hidden = candle === undefined;
    if (candle === undefined) return;
    const texts = {
      time: format.minute(candle.open_time_ms),
      open: format.brief(candle.open, places),
      high: format.brief(candle.high, places),
      low: format.brief(candle.low, places),
      close: format.brief(candle.close, places),
      volume: format.quantity(candle.volume),
      trades: candle.trades.toLocaleString("en"),
      traders: `${candle.unique_traders?.toLocaleString("en")}${candle.has_more_traders ? "+" : ""}`,
      status: status(candle, isChain),
      revision: String(candle.revision),
    };
    box.dataset.direction = Number(candle.close) >= Number(candle.open) ? "up" : "down";
    traders.hidden = typeof candle.unique_traders !== "number";
    for (const [name, text] of Object.entries(texts)) fields.get(name).textContent = text;
  };
}

/** Return the state of a candle in words. */
export function status(candle, isChain) {
  const words = [candle.status];
  if (candle.status === "corrected" && candle.reason) words[0] += ` (${candle.reason})`;
  if (candle.fill === "carry") words.push("quiet");
  if (!candle.complete) words.push("incomplete");
  if (isChain && candle.status !== "final") words.push("not final");
  return words.join(", ");
}
