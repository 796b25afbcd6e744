// Holds what the page shows, and tells those who asked when it changes.

const listeners = new Map();

/** Seconds of the axis throughout: since 1970 on the wall clock, of the file on media time. */
export const state = {
  axis: "wall",
  view: { start: 0, end: 1 },
  whole: { wall: null, media: null },  // the timeline of all there is, by axis
  near: null,                          // the timeline of about what is in view, finer
  exact: null,                         // {start, end, source, kinds, events}: every event of a range, when few
  selected: null,                      // {source, time, session, event, at}: the moment in the detail
  source: null,                        // the only source listed, or null for all
  kinds: new Set(),                    // the kinds listed; empty for all
  order: "desc",
  live: false,
  playhead: null,                      // where the player is, on the axis
};

/** Calls `listener` when any of `names` changes. */
export function on(names, listener) {
  for (const name of names.split(" ")) {
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(listener);
  }
}

/** Changes the state, then tells the listeners of what changed, each once. */
export function set(changes) {
  const told = new Set();
  for (const [name, value] of Object.entries(changes)) {
    if (Object.is(state[name], value)) continue;
    state[name] = value;
    for (const listener of listeners.get(name) ?? []) told.add(listener);
  }
  for (const listener of told) listener();
}

export const wall = () => state.axis === "wall";

/** The timeline of all there is on the current axis, or null. */
export const whole = () => state.whole[state.axis];

/** The lanes of the current axis. */
export const lanes = () => whole()?.lanes ?? [];

export const laneOf = (source) => lanes().find((lane) => lane.source_id === source);

/** Where an event begins and ends on the current axis; null where it has no place on it. */
export function place(event) {
  if (!wall()) return { start: event.start_s, end: event.end_s };
  if (!event.start_time) return null;
  const start = Date.parse(event.start_time) / 1000;
  const end = event.end_time ? Date.parse(event.end_time) / 1000 : start + (event.end_s - event.start_s);
  return { start, end: Math.max(start, end) };
}

const LEAST_S = 2;
const BEYOND = 0.05; // how far past the ends of everything one may go, as a share of it

/** Bounds of what may be shown on the current axis. */
export function bounds() {
  const all = whole();
  if (!all || all.end_s <= all.start_s) return wall() ? recent() : { start: 0, end: 60 };
  const end = wall() && state.live ? Math.max(all.end_s, Date.now() / 1000) : all.end_s;
  const margin = Math.max((end - all.start_s) * BEYOND, 1);
  return { start: wall() ? all.start_s - margin : Math.min(0, all.start_s) - margin * 0.2, end: end + margin };
}

function recent() {
  const now = Date.now() / 1000;
  return { start: now - 3600, end: now + 60 };
}

/** Shows [start, end), kept within what there is. */
export function show(start, end) {
  const limit = bounds();
  const widest = limit.end - limit.start;
  const length = Math.min(Math.max(end - start, LEAST_S), Math.max(widest, LEAST_S));
  const middle = (start + end) / 2;
  let from = middle - length / 2;
  from = Math.min(Math.max(from, limit.start), limit.end - length);
  if (from === state.view.start && from + length === state.view.end) return;
  set({ view: { start: from, end: from + length } });
}

/** Zooms by `factor` (below 1 is closer) around a place on the axis. */
export function zoom(factor, around = (state.view.start + state.view.end) / 2) {
  const { start, end } = state.view;
  show(around - (around - start) * factor, around + (end - around) * factor);
}

/** Moves by a share of what is in view. */
export function pan(share) {
  const length = state.view.end - state.view.start;
  show(state.view.start + share * length, state.view.end + share * length);
}

/** Shows all there is. */
export function fit() {
  const limit = bounds();
  show(limit.start, limit.end);
}

/** Whether all there is is in view. */
export function showsAll() {
  const limit = bounds();
  const slack = (limit.end - limit.start) * 0.001;
  return state.view.start <= limit.start + slack && state.view.end >= limit.end - slack;
}

/** Shows a place: leaves the view where it is in it already, else centres it; comes closer to see seconds. */
export function reveal(start, end = start) {
  const { view } = state;
  const length = view.end - view.start;
  const wanted = Math.max(Math.min(length, wall() ? 1800 : 600), (end - start) * 2);
  const margin = length * 0.04;
  if (start >= view.start + margin && start <= view.end - margin && length <= wanted * 1.01) return;
  const middle = (start + Math.min(end, start + wanted)) / 2;
  show(middle - wanted / 2, middle + wanted / 2);
}
