// Numbers and times as people read them. Knows no DOM.

const EXACT_PLACES = 8; // no venue has more; prices of pools have all there are
const DIGITS = 7;

/** Return how many places to show of a price that has up to `scale` of them: all, or as many as
 *  say something where a pool divides. places("0.000123456789", 18) is 10. */
export function places(text, scale) {
  if (scale <= EXACT_PLACES || !text) return scale;
  const number = Math.abs(Number(text));
  const magnitude = number > 0 ? Math.floor(Math.log10(number)) : 0;
  return Math.min(scale, Math.max(2, DIGITS - 1 - magnitude));
}

/** Return `[venue, symbol]` as people say them: of a chain's market by its name, if it has one. */
export function names({ name, symbol, venue }) {
  const at = name.indexOf(":");
  return [at < 0 ? venue : name.slice(0, at), short(symbol)];
}

/** Return an address so that it can be read: short("0x5fbdb2315678afecb3") is "0x5fbd…ecb3". */
export function short(text) {
  return text.replace(/0x([0-9a-f]{4})[0-9a-f]{8,}([0-9a-f]{4})/gi, "0x$1…$2");
}

/** Return an exact decimal with `places` after its point: price("110124", 1) is "110,124.0". */
export function price(text, places) {
  if (text === null || text === undefined) return "–";
  const [whole, rest = ""] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const decimals = rest.padEnd(places, "0");
  return decimals ? `${grouped}.${decimals}` : grouped;
}

/** Return a decimal with `places` after its point, rounded if it has more. */
export function brief(text, places) {
  const rest = text?.split(".")[1] ?? "";
  return price(rest.length > places ? Number(text).toFixed(places) : text, places);
}

/** Return a quantity in few characters: quantity("81225.5") is "81.23K". */
export function quantity(text) {
  if (text === null || text === undefined) return "–";
  const number = Number(text);
  if (number !== 0 && Math.abs(number) < 0.0001) return number.toExponential(2);
  const short = { notation: "compact", maximumSignificantDigits: 4 };
  const long = { maximumFractionDigits: number < 1 ? 6 : 4 };
  return new Intl.NumberFormat("en", number < 10_000 ? long : short).format(number);
}

/** Return a signed percentage: percent("0.1127") is "+0.11 %". */
export function percent(text) {
  if (text === null || text === undefined) return "–";
  const rounded = Number(text).toFixed(2);
  if (Number(rounded) === 0) return "0.00 %";
  return `${Number(rounded) > 0 ? "+" : ""}${rounded.replace("-", "−")} %`;
}

/** Return a signed difference of prices: change("-12.5", 2) is "−12.50". */
export function change(text, places) {
  if (text === null || text === undefined) return "–";
  if (text.startsWith("-")) return `−${brief(text.slice(1), places)}`;
  return `${Number(text) > 0 ? "+" : ""}${brief(text, places)}`;
}

/** Return -1, 0 or 1: which way a number points. */
export function direction(text) {
  return Math.sign(Number(text ?? 0));
}

/** Return UTC as `2025-11-01 09:45`. */
export function minute(timeMs) {
  return new Date(timeMs).toISOString().slice(0, 16).replace("T", " ");
}

/** Return UTC as `09:45:05`. */
export function second(timeMs) {
  return new Date(timeMs).toISOString().slice(11, 19);
}

/** Return a span of time in words: span(61_000) is "1 min". */
export function span(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
