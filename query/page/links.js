// Reads and writes the address of a moment: `#source@time`, an instant or seconds of the recording.

import { state } from "./store.js";
import { isoText } from "./times.js";

/** The moment of a hash: {source, time}; null for anything else. */
export function parse(hash) {
  const text = hash.replace(/^#/, "");
  const cut = text.lastIndexOf("@");
  if (cut <= 0 || cut === text.length - 1) return null;
  try {
    return { source: decodeURIComponent(text.slice(0, cut)), time: decodeURIComponent(text.slice(cut + 1)) };
  } catch {
    return null; // a percent sign that means nothing
  }
}

/** The hash of a moment. */
export function hash(selected) {
  const time = selected.axis === "wall" ? isoText(selected.place) : String(Math.round(selected.place * 1000) / 1000);
  return `#${encodeURIComponent(selected.source)}@${time}`;
}

/** The axis on which a moment's time lies; the other one where the source is on that alone. */
export function axisOf({ source, time }) {
  const clock = /^\d{4}-?\d{2}-?\d{2}[T ]/i.test(time);
  const wanted = clock ? "wall" : "media";
  const has = (axis) => state.whole[axis]?.lanes.some((lane) => lane.source_id === source);
  if (has(wanted)) return wanted;
  const other = wanted === "wall" ? "media" : "wall";
  return has(other) ? other : wanted;
}

/** Writes the moment into the address, without a new entry for each step. */
export function write(selected) {
  const wanted = selected ? hash(selected) : "";
  if (window.location.hash === wanted) return;
  history.replaceState(null, "", wanted || window.location.pathname + window.location.search);
}

export const link = (selected) => new URL(hash(selected), window.location.href).href;
