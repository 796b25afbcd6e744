// Finds the event before or after another: among those on the screen when all are known, else by asking.

import { page } from "./data.js";
import { exactOf } from "./known.js";
import { place, state } from "./store.js";

const SLACK_S = 0.002; // instants are asked to the millisecond
const PAGES = 6;

const order = (a, b) => a.start - b.start || a.end - b.end || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const key = (event) => ({ start: 0, end: 0, ...place(event), id: event.event_id });
const kept = (event) => !state.kinds.size || state.kinds.has(event.kind);

/** The next event of a source in a direction: "before", "after", or of the view "first", "last". Null when none. */
export async function stepInLane(source, way) {
  const { view, selected } = state;
  const known = (exactOf(source) ?? []).filter(kept);
  if (way === "first" || way === "last") {
    const inside = known.filter((event) => { const at = place(event).start; return at >= view.start && at < view.end; });
    if (inside.length) return way === "first" ? inside[0] : inside.at(-1);
    return way === "first" ? after(source, { start: view.start, end: -Infinity, id: "" }) : before(source, { start: view.end, end: -Infinity, id: "" });
  }
  const here = selected?.source === source && selected.axis === state.axis
    ? (selected.event ? key(selected.event) : { start: selected.place, end: -Infinity, id: "" })
    : { start: (view.start + view.end) / 2, end: -Infinity, id: "" };
  return way === "before" ? before(source, here, known) : after(source, here, known);
}

async function after(source, here, known = []) {
  const there = known.find((event) => order(key(event), here) > 0);
  if (there && known.some((event) => order(key(event), here) <= 0)) return there;
  let cursor = null;
  for (let i = 0; i < PAGES; i += 1) {
    const found = await page({ source, start: here.start - SLACK_S, kinds: state.kinds, order: "asc", limit: 50, cursor });
    const next = found.events.filter((event) => order(key(event), here) > 0).sort((a, b) => order(key(a), key(b)))[0];
    if (next || !found.next) return next ?? null;
    cursor = found.next;
  }
  return null;
}

async function before(source, here, known = []) {
  const back = known.filter((event) => order(key(event), here) < 0);
  if (back.length) return back.at(-1);
  let cursor = null;
  for (let i = 0; i < PAGES; i += 1) {
    const found = await page({ source, end: here.start + SLACK_S, kinds: state.kinds, order: "desc", limit: 50, cursor });
    const last = found.events.filter((event) => order(key(event), here) < 0).sort((a, b) => order(key(b), key(a)))[0];
    if (last || !found.next) return last ?? null;
    cursor = found.next;
  }
  return null;
}
