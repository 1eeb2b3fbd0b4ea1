// What the part of the address after # chooses.

/** Return the market and the interval that `hash` names, each empty if it names none.
 *  It may also name a place on the page, as `#markets` does, or be no text at all. */
export function named(hash, intervals) {
  const text = decoded(hash.slice(1));
  const at = text.lastIndexOf("/");
  const last = text.slice(at + 1);
  const hasInterval = at >= 0 && intervals.includes(last);
  const market = hasInterval ? text.slice(0, at) : text;
  return { market: market.includes(":") ? market : "", interval: hasInterval ? last : "" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // a lone %
  }
}
