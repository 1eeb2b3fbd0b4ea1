// What is likely to happen to the market on the chart, and how far to believe it.

import * as format from "./format.js";

const CHANCE = 1.35; // times the mean error of perfect forecasts: 95 % of them are below
const BETTER = "better than the base rate";
const SVG = "http://www.w3.org/2000/svg";
const SIDE = 120;
const [WIDE, HIGH] = [260, 120];
const STEPS = {
  drift: "the market changed",
  challenger: "a new model began beside the old one",
  promoted: "a new model took over",
  given_up: "a new model was given up",
};

/** Return a probability in words: percent(0.507) is "51 %". */
export function percent(probability) {
  return `${Math.round(probability * 100)} %`;
}

/** Return how sure a model is, in words: 0 is the base rate and nothing else. */
export function sureness(confidence) {
  if (confidence === 0) return "none: this is just how often it went up before";
  if (confidence < 0.05) return "very low";
  if (confidence < 0.25) return "low";
  return confidence < 0.6 ? "medium" : "high";
}

/** Return what a trader should know of `model`; null is a model without any figures. */
export function judgement(model) {
  if (!model || model.verdict === "learning") {
    return `Still learning: ${model?.labels ?? 0} of its predictions have come due so far.`;
  }
  const labels = model.labels.toLocaleString("en");
  const share = `${(Math.abs(model.skill) * 100).toFixed(2)} %`;
  if (model.verdict === BETTER) {
    return `Better than the base rate by ${share} after ${labels} predictions, more than luck explains.`;
  }
  const side = model.skill < 0 ? `behind by ${share}` : `ahead by ${share}, which may be luck`;
  return `No better than the base rate so far: ${side} after ${labels} predictions.`;
}

/** Return whether what was said came as often as said, in words. */
export function calibrationWords(model) {
  if (!model || model.ece === null) return "";
  const [error, floor] = [model.ece, model.ece_floor].map((x) => `${(x * 100).toFixed(1)} points`);
  const isChance = model.ece <= CHANCE * model.ece_floor;
  const verdict = isChance ? "which chance explains" : "more than chance explains";
  return `Off by ${error} on average, ${verdict} (it alone makes ${floor}).`;
}

/** Return the entries that may still be shown at `nowMs`, by horizon. */
export function current(entries, nowMs) {
  return [...entries.values()]
    .filter((entry) => entry.expires_at > nowMs)
    .sort((a, b) => a.horizon - b.horizon);
}

/** Return `[x, y]` between 0 and 1 of each point of the skill, and the largest skill shown. */
export function course(history) {
  const known = history.filter((point) => point.skill !== null);
  const most = Math.max(0.001, ...known.map((point) => Math.abs(point.skill)));
  const [first, last] = [known[0]?.time_ms ?? 0, known.at(-1)?.time_ms ?? 1];
  const along = (ms) => (last > first ? (ms - first) / (last - first) : 1);
  const points = known.map((point) => [along(point.time_ms), 0.5 - point.skill / most / 2]);
  return { points, most, along };
}

function shape(parent, name, attributes, text = "") {
  const node = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

/** The card below the chart. */
export class Outlook {
  #box;
  #now;
  #onTarget;
  #entries = new Map();
  #horizon = null;
  #calibration; // null: it has none yet; undefined: nobody has asked
  #places = 2;
  onHorizon = () => {};

  constructor(box, now, onTarget) {
    [this.#box, this.#now, this.#onTarget] = [box, now, onTarget];
  }

  get horizon() {
    return this.#horizon;
  }

  /** Forget one market for another, whose prices have `places`. */
  clear(places) {
    this.#places = places;
    this.#entries.clear();
    this.#calibration = undefined;
    this.draw();
    this.#drawCalibration();
  }

  onMessage(message) {
    if (message.type === "refused") return;
    if (message.type === "snapshot") this.#entries.clear();
    for (const entry of message.data) this.#entries.set(entry.horizon, entry);
    this.draw();
  }

  /** Take what `/v1/models/…/calibration` says, or null. */
  onCalibration(calibration) {
    this.#calibration = calibration;
    this.#drawCalibration();
  }

  /** Show what has not expired. */
  draw() {
    const entries = current(this.#entries, this.#now());
    const names = entries.map((entry) => entry.horizon);
    if (entries.length > 0 && !names.includes(this.#horizon)) this.#choose(names[0]);
    this.#drawHorizons(entries);
    const entry = entries.find((each) => each.horizon === this.#horizon) ?? null;
    this.#part("gauge").hidden = entry === null;
    this.#part("figures").hidden = entry === null;
    this.#part("absent").hidden = entry !== null;
    if (entry) this.#drawEntry(entry);
    this.#onTarget(entry);
  }

  #choose(horizon) {
    if (horizon === this.#horizon) return;
    this.#horizon = horizon;
    this.onCalibration(undefined);
    this.onHorizon(horizon);
  }

  #part(name) {
    return this.#box.querySelector(`[data-part="${name}"]`);
  }

  #drawHorizons(entries) {
    const box = this.#part("horizons");
    const wanted = entries.map((entry) => String(entry.horizon)).join();
    if (box.dataset.shown !== wanted) {
      box.dataset.shown = wanted;
      for (const label of box.querySelectorAll("label")) label.remove();
      for (const { horizon } of entries) {
        const label = box.appendChild(document.createElement("label"));
        const radio = label.appendChild(document.createElement("input"));
        Object.assign(radio, { type: "radio", name: "horizon", value: horizon });
        radio.addEventListener("change", () => {
          this.#choose(horizon);
          this.draw();
        });
        const words = horizon === 1 ? "next candle" : `${horizon} candles`;
        label.appendChild(document.createElement("span")).textContent = words;
      }
    }
    for (const radio of box.querySelectorAll("input")) {
      radio.checked = Number(radio.value) === this.#horizon;
    }
  }

  #drawEntry(entry) {
    const [up, flat, down] = [
      entry.probability_up,
      entry.probability_flat,
      entry.probability_down,
    ];
    this.#part("up").style.flexGrow = up;
    this.#part("flat").style.flexGrow = flat;
    this.#part("down").style.flexGrow = down;
    this.#part("gauge").setAttribute(
      "aria-label",
      `Higher ${percent(up)}, lower ${percent(down)}, the same ${percent(flat)}`,
    );
    const price = (number) => format.price(number.toFixed(Math.min(this.#places, 12)), this.#places);
    const [low, high] = [entry.quantiles[1], entry.quantiles[5]];
    const words = {
      "up-words": `${percent(up)} higher`,
      "flat-words": flat < 0.005 ? "" : `${percent(flat)} the same`,
      "down-words": `${percent(down)} lower`,
      confidence: sureness(entry.confidence_level),
      target: price(entry.price_target),
      range: `${price(low)} – ${price(high)}`,
      due: `${format.minute(entry.due_at)} UTC`,
    };
    for (const [name, text] of Object.entries(words)) this.#part(name).textContent = text;
    this.#part("meter").value = entry.confidence_level;
  }

  #drawCalibration() {
    const { model = null, bins = [], steps = [], history = [] } = this.#calibration ?? {};
    this.#part("judgement").textContent = this.#calibration === undefined ? "" : judgement(model);
    this.#part("judgement").dataset.good = String(model?.verdict === BETTER);
    this.#part("calibration").textContent = calibrationWords(model);
    this.#drawReliability(bins);
    this.#drawSkill(history, steps);
  }

  #drawReliability(bins) {
    const svg = this.#part("reliability");
    svg.replaceChildren();
    shape(svg, "rect", { x: 0, y: 0, width: SIDE, height: SIDE, class: "frame" });
    shape(svg, "line", { x1: 0, y1: SIDE, x2: SIDE, y2: 0, class: "ideal" });
    const most = Math.max(1, ...bins.map((bin) => bin.labels));
    for (const { labels, said, came } of bins) {
      const dot = { cx: said * SIDE, cy: SIDE - came * SIDE, r: 2 + 3 * Math.sqrt(labels / most) };
      const title = `said ${percent(said)}, came ${percent(came)} of ${labels}`;
      shape(shape(svg, "circle", { ...dot, class: "dot" }), "title", {}, title);
    }
  }

  #drawSkill(history, steps) {
    const svg = this.#part("skill");
    svg.replaceChildren();
    const { points, most, along } = course(history);
    shape(svg, "rect", { x: 0, y: 0, width: WIDE, height: HIGH, class: "frame" });
    shape(svg, "line", { x1: 0, y1: HIGH / 2, x2: WIDE, y2: HIGH / 2, class: "ideal" });
    const path = points.map(([x, y]) => `${x * WIDE},${y * HIGH}`).join(" ");
    if (points.length > 0) shape(svg, "polyline", { points: path, class: "course" });
    const isLong = points.length > 1 && points[0][0] < 1; // else nothing has a place in it
    const marks = steps.filter((step) => isLong && along(step.time_ms) >= 0);
    for (const { time_ms, kind } of marks) {
      const x = Math.min(1, along(time_ms)) * WIDE;
      const line = shape(svg, "line", { x1: x, y1: 0, x2: x, y2: HIGH, class: kind });
      const words = STEPS[kind] ?? kind;
      shape(line, "title", {}, `${words}, ${format.minute(time_ms)} UTC`);
    }
    const scale = `${(most * 100).toFixed(1)} %`;
    shape(svg, "text", { x: 0, y: -4 }, `better by ${scale}`);
    shape(svg, "text", { x: 0, y: HIGH + 11 }, `worse by ${scale}`);
    const drifts = steps.filter((step) => step.kind === "drift").length;
    const words = drifts === 1 ? "1 drift" : `${drifts} drifts`;
    this.#part("drifts").textContent = drifts > 0 ? `${words}: the market stopped behaving as learned.` : "";
  }
}
