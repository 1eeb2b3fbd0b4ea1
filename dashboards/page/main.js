// Puts the page together: what is chosen, what is asked for, where it is drawn.

import { named } from "./address.js";
import { Chart, legend } from "./chart.js";
import { Feeds } from "./feeds.js";
import * as format from "./format.js";
import { Markets } from "./markets.js";
import { Oddities } from "./oddities.js";
import { Outlook } from "./outlook.js";
import { Pool } from "./pool.js";
import { get, patiently } from "./rest.js";
import { Series } from "./series.js";
import { Stream } from "./stream.js";
import { Tape } from "./tape.js";
import { start as startTheme } from "./theme.js";

const MINUTE_MS = 60_000;
const WIDTHS_MS = {
  "1m": MINUTE_MS,
  "5m": 5 * MINUTE_MS,
  "15m": 15 * MINUTE_MS,
  "1h": 60 * MINUTE_MS,
  "4h": 240 * MINUTE_MS,
  "1d": 1_440 * MINUTE_MS,
  "1w": 10_080 * MINUTE_MS,
};
const PAGE_LIMIT = 1_000;
const MOST_CANDLES = 20_000;
const LIVE_MARKETS = 100;
const CALIBRATION_EVERY_MS = 15_000;
const STATES = {
  connecting: "Connecting",
  live: "Live",
  behind: "Behind",
  reconnecting: "Reconnecting",
  refused: "Disconnected",
};

const byId = (id) => document.getElementById(id);
const serverNow = () => Date.now() + stream.serverLeadMs;
const outside = {
  WebSocket,
  now: () => Date.now(),
  random: () => Math.random(),
  setTimeout: (then, ms) => setTimeout(then, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};
const stream = new Stream(`${location.origin.replace(/^http/, "ws")}/ws/v1`, onState, outside);
const feeds = new Feeds(byId("feeds"), serverNow, (venue) => markets.venueName(venue));
const tape = new Tape(byId("tape"));
const outlook = new Outlook(byId("outlook"), serverNow, onTarget);
const oddities = new Oddities(byId("oddities"));
const pool = new Pool(byId("pool"));
const markets = new Markets(byId("market-table"), byId("filter"), byId("market-note"), (market) =>
  choose({ market }),
);

let chart = null;
let libraryFault = "";
let chosen = { market: "", interval: "1m", series: null, cursor: null, isLoading: false };
let corrections = 0;

// ------------------------------------------------------------------ connection

function onState(state, detail) {
  byId("connection").dataset.state = state;
  const word = byId("connection-state");
  if (word.textContent !== STATES[state]) word.textContent = STATES[state];
  byId("connection-detail").textContent = detail;
}

// ---------------------------------------------------------------------- choice

function fromAddress() {
  const { market, interval } = named(location.hash, Object.keys(WIDTHS_MS));
  return { market, interval: interval || chosen.interval };
}

function onAddress() {
  const wanted = fromAddress();
  if (wanted.market) choose(wanted);
  else if (chosen.market) writeAddress(); // it named a place on the page
}

function writeAddress() {
  history.replaceState(null, "", `#${chosen.market}/${chosen.interval}`);
}

function choose({ market = chosen.market, interval = chosen.interval }) {
  if (market === chosen.market && interval === chosen.interval) return;
  leave();
  const isOther = market !== chosen.market;
  chosen = { market, interval, series: new Series(WIDTHS_MS[interval]), cursor: null };
  writeAddress();
  byId(`interval-${interval}`).checked = true;
  markets.choose(market);
  writeSummary();
  if (isOther) {
    tape.clear(places());
    pool.clear();
    oddities.clear();
  }
  outlook.clear(places().price);
  chart?.show(chosen.series, places().price);
  markPending();
  subscribe();
  loadNewest();
  loadCalibration();
}

function channels() {
  const { market, interval } = chosen;
  return {
    candles: `candles:${market}:${interval}`,
    trades: `trades:${market}`,
    prob: `prob:${market}:${interval}`,
    views: `views:${market}`,
    odd: `anomalies:${market}`,
  };
}

function leave() {
  if (!chosen.market) return;
  for (const channel of Object.values(channels())) stream.unsubscribe(channel);
}

function subscribe() {
  const { candles, trades, prob, views, odd } = channels();
  const mine = chosen;
  const ifMine = (then) => (message) => mine === chosen && then(message);
  stream.subscribe(candles, { snapshot: 300 }, ifMine(onCandles));
  stream.subscribe(trades, { snapshot: 40, policy: "buffer", max_hz: 5 }, ifMine(onTrades));
  stream.subscribe(odd, { snapshot: 50, max_hz: 2 }, ifMine((message) => oddities.onMessage(message)));
  stream.subscribe(prob, { snapshot: 48, max_hz: 2 }, ifMine((message) => outlook.onMessage(message)));
  stream.subscribe(views, { snapshot: 1, max_hz: 4 }, ifMine(onPool));
}

function places() {
  const entry = markets.entry(chosen.market);
  const last = markets.figures(chosen.market)?.last;
  const price = format.places(last, entry?.price_scale ?? 2);
  return { price, size: Math.min(entry?.size_scale ?? 4, 8) };
}

// --------------------------------------------------------------------- candles

function onCandles(message) {
  if (message.type === "refused") notice(message.error.message);
  else if (message.type === "snapshot") {
    if (message.recovered === false) beginAgain();
    for (const candle of message.data) put(candle);
  } else put(message.data);
}

/** Forget candles that another log may contradict, and ask for them. */
function beginAgain() {
  chosen.series = new Series(WIDTHS_MS[chosen.interval]);
  chosen.cursor = null;
  chart?.replace(chosen.series);
  loadNewest();
}

function onTrades(message) {
  tape.onMessage(message);
}

function put(candle) {
  const outcome = chosen.series.put(candle);
  if (outcome === "same") return;
  corrections += Number(outcome === "corrected");
  chart?.update(candle, outcome);
  notice("");
}

async function loadPage(parameters) {
  const mine = chosen;
  const { market, interval } = mine;
  const ask = () => get("/v1/candles", { market, interval, limit: PAGE_LIMIT, ...parameters });
  const page = await patiently(
    () => (mine === chosen ? ask() : null),
    (error) => mine === chosen && mine.series.size === 0 && notice(error.message),
  );
  if (mine !== chosen || page === null) return;
  for (const candle of page.candles) mine.series.put(candle);
  chart?.refill();
  if (mine.series.size === 0) notice("No candles yet.");
  else notice("");
  return page;
}

async function loadNewest() {
  const mine = chosen;
  const page = await loadPage({});
  if (page && mine.cursor === null) mine.cursor = page.next;
}

async function loadOlder() {
  const mine = chosen;
  if (!mine.cursor || mine.isLoading || mine.series.size >= MOST_CANDLES) return;
  mine.isLoading = true;
  const page = await loadPage({ cursor: mine.cursor });
  if (page) mine.cursor = page.next;
  mine.isLoading = false;
}

function notice(text) {
  const shown = libraryFault || text;
  byId("notice").textContent = shown;
  byId("notice").hidden = shown === "";
}

// --------------------------------------------------------------------- figures

function onFigures(message) {
  if (message.type === "refused") return;
  const list = message.type === "snapshot" ? message.data : [message.data];
  for (const figures of list) {
    markets.onFigures(figures);
    if (figures.market === chosen.market) writeSummary();
  }
}

function writeSummary() {
  const [figures, { price }] = [markets.figures(chosen.market), places()];
  const entry = markets.entry(chosen.market);
  const [venue, symbol] = entry ? format.names(entry) : ["", chosen.market || "…"];
  byId("market-name").textContent = symbol;
  byId("market-name").title = entry?.chain ? `${chosen.market}\nTokens choose their symbols themselves.` : "";
  byId("market-name").dataset.venue = venue;
  byId("summary").dataset.direction = format.direction(figures?.change);
  byId("last").textContent = format.brief(figures?.last, price);
  const parts = [format.change(figures?.change, price), format.percent(figures?.change_percent)];
  byId("change").textContent = figures ? parts.join("  ") : "";
  byId("high").textContent = format.brief(figures?.high, price);
  byId("low").textContent = format.brief(figures?.low, price);
  byId("volume").textContent = unit(format.quantity(figures?.volume), entry?.base);
  byId("turnover").textContent = unit(format.quantity(figures?.quote_volume), entry?.quote);
  byId("trades").textContent = figures?.trades?.toLocaleString("en") ?? "–";
  document.title = figures
    ? `${format.brief(figures.last, price)} ${symbol} · Chaintide`
    : "Chaintide";
}

/** Tell what is not final, where that may be taken back. */
function markPending() {
  const isChain = Boolean(markets.entry(chosen.market)?.chain);
  byId("key-pending").hidden = !isChain;
  chart?.setChain(isChain);
}

/** Show what the pool of the market holds, if it is one. */
function onPool(message) {
  if (message.type === "refused") return;
  const held = message.type === "snapshot" ? message.data[0] : message.data;
  if (held && message.type !== "retraction") pool.show(held);
  else pool.clear();
}

/** Draw what is expected on the chart, and say what the lines are. */
function onTarget(entry) {
  byId("key-range").hidden = entry === null;
  chart?.setTarget(entry);
}

/** Show how good the model is whose predictions are shown. */
async function loadCalibration() {
  const { market, interval } = chosen;
  const { horizon } = outlook;
  if (!market || horizon === null) return;
  let found = null;
  try {
    const { models } = await get("/v1/models", { market, interval });
    if (models.some((model) => model.horizon === horizon)) {
      found = await get(`/v1/models/${interval}/${horizon}/calibration`, { market });
    }
  } catch {
    return; // the next round asks again
  }
  const isMine = market === chosen.market && interval === chosen.interval;
  if (isMine && horizon === outlook.horizon) outlook.onCalibration(found);
}

function unit(text, name) {
  return name && text !== "–" ? `${text} ${name}` : text;
}

async function loadMarkets() {
  const [{ markets: entries }, { tickers }] = await Promise.all([
    get("/v1/markets"),
    get("/v1/tickers"),
  ]);
  const room = LIVE_MARKETS - markets.names.length;
  const fresh = markets.onMarkets(entries);
  for (const figures of tickers) markets.onFigures(figures);
  const ranked = fresh.toSorted((a, b) => turnover(b) - turnover(a)).slice(0, Math.max(0, room));
  for (const market of ranked) {
    stream.subscribe(`ticker:${market}`, { snapshot: 1, max_hz: 4 }, onFigures);
  }
  loadCloses(ranked);
  if (!chosen.market && entries.length > 0) chooseFirst(entries);
  chart?.setPlaces(places().price);
  markPending();
  writeSummary();
  if (entries.length === 0) throw new Error("Waiting for the first trades.");
}

function turnover(market) {
  return Number(markets.figures(market)?.quote_volume ?? 0);
}

function chooseFirst(entries) {
  const wanted = fromAddress();
  const ranked = entries.map((entry) => entry.market).toSorted((a, b) => turnover(b) - turnover(a));
  choose({ ...wanted, market: wanted.market || ranked[0] });
}

async function loadCloses(names) {
  for (const market of names) {
    const closes = async (interval, limit) =>
      (await get("/v1/candles", { market, interval, limit })).candles.map((c) => c.close);
    const day = await patiently(() => closes("15m", 96));
    markets.onCloses(market, day.length < 12 ? await patiently(() => closes("1m", 120)) : day);
  }
}

// --------------------------------------------------------------------- library

async function openChart() {
  const state = await get("/assets/library");
  if (state.state !== "ready") {
    const words = { fetching: "Fetching the chart library…", failed: state.reason };
    throw new Error(words[state.state]);
  }
  const lib = await import("/assets/library.mjs");
  libraryFault = "";
  chart = new Chart(lib, byId("chart"), legend(byId("legend")));
  chart.onOlder = loadOlder;
  chart.setOddities(oddities.known);
  if (chosen.series) chart.show(chosen.series, places().price);
  markPending();
  notice(chosen.series?.size ? "" : "Loading…");
}

// -------------------------------------------------------------------- controls

function onChartKey(event) {
  const steps = { ArrowLeft: -10, ArrowRight: 10, PageUp: -100, PageDown: 100, End: 0 };
  if (event.key in steps) chart?.scroll(steps[event.key]);
  else if (event.key === "+" || event.key === "=") chart?.zoom(1.25);
  else if (event.key === "-") chart?.zoom(0.8);
  else return;
  event.preventDefault();
}

function onPageKey(event) {
  if (event.key !== "/" || event.target.matches("input[type=search]")) return;
  byId("filter").focus();
  event.preventDefault();
}

function addIntervals() {
  for (const interval of Object.keys(WIDTHS_MS)) {
    const label = byId("intervals").appendChild(document.createElement("label"));
    const radio = label.appendChild(document.createElement("input"));
    Object.assign(radio, { type: "radio", name: "interval", value: interval });
    radio.id = `interval-${interval}`;
    radio.checked = interval === chosen.interval;
    radio.addEventListener("change", () => choose({ interval }));
    label.appendChild(document.createElement("span")).textContent = interval;
  }
}

async function setClock() {
  const before = Date.now();
  const { time_ms: there } = await get("/v1/time");
  stream.serverLeadMs = there - (before + Date.now()) / 2;
}

function start() {
  addIntervals();
  startTheme(byId("theme"), () => chart?.dress());
  byId("newest").addEventListener("click", () => chart?.scroll(0));
  byId("chart").addEventListener("keydown", onChartKey);
  document.addEventListener("keydown", onPageKey);
  addEventListener("hashchange", onAddress);
  addEventListener("online", () => stream.connect());
  patiently(openChart, (error) => {
    libraryFault = error.message;
    notice("");
  });
  patiently(setClock);
  stream.subscribe("status", { snapshot: 100 }, (message) => feeds.onMessage(message));
  stream.connect();
  patiently(loadMarkets, (error) => chosen.market || notice(error.message));
  setInterval(() => loadMarkets().catch(() => {}), 15_000); // the next round asks again
  setInterval(() => feeds.draw(), 1_000);
  outlook.onHorizon = loadCalibration;
  oddities.onChange = (known) => chart?.setOddities(known);
  setInterval(() => outlook.draw(), 1_000); // what expires goes
  setInterval(loadCalibration, CALIBRATION_EVERY_MS);
}

// Read only, for tests and for the curious.
window.chaintide = Object.freeze({
  market: () => chosen.market,
  interval: () => chosen.interval,
  connection: () => stream.state,
  barCount: () => chart?.count ?? 0,
  lastBar: () => chosen.series?.newest ?? null,
  bar: (openMs) => chosen.series?.at(openMs) ?? null,
  drawnBar: (openMs) => chart?.drawn(openMs) ?? null,
  corrections: () => corrections,
  oddBars: () => chart?.odd ?? [],
});

start();
