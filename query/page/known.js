// Says what is known of the view: how many events, of which kinds, and every one of them where they are few.

import { count } from "./say.js";
import { lanes, place, showsAll, state, whole } from "./store.js";

/** How many events begin in the view, as far as the timelines know; of one source when one is chosen. */
export function countInView(source = state.source) {
  const { start, end } = state.view;
  let sum = 0;
  for (const lane of lanes()) {
    if (source !== null && lane.source_id !== source) continue;
    const { timeline, lane: fine } = layers(lane).at(-1);
    const from = Math.max(0, Math.floor((start - timeline.start_s) / timeline.bucket_s));
    const to = Math.min(fine.events.length, Math.ceil((end - timeline.start_s) / timeline.bucket_s));
    for (let i = from; i < to; i += 1) sum += fine.events[i];
  }
  return sum;
}

/** The stretch of the view next to a place, up or down, in which about `number` events begin; never an empty one. */
export function stretch(from, order, number) {
  const { view, source } = state;
  const lane = lanes().find((one) => source === null || one.source_id === source);
  const { timeline } = layers(lane).at(-1);
  const up = order === "asc";
  const of = lanes().filter((one) => source === null || one.source_id === source).map((one) => layers(one).at(-1).lane.events);
  let i = Math.floor((from - timeline.start_s) / timeline.bucket_s) - (up ? 0 : 1);
  let sum = 0;
  let edge = from;
  while (sum < number && (up ? edge < view.end : edge > view.start)) {
    i += up ? 1 : 0;
    edge = timeline.start_s + i * timeline.bucket_s;
    const at = up ? i - 1 : i;
    sum += of.reduce((all, events) => all + (events[at] ?? 0), 0);
    i -= up ? 0 : 1;
  }
  return up ? { start: from, end: Math.min(edge, view.end) } : { start: Math.max(edge, view.start), end: from };
}

/** How many events are in view, in words: about so many where only the timelines know. */
export function countText(source = state.source) {
  const known = knownInView();
  if (known) return count(known.filter((event) => source === null || event.source_id === source).length);
  return `${showsAll() ? "" : "≈ "}${count(countInView(source))}`;
}

/** The kinds of events in view, with their numbers, and whether these are exact. */
export function kindsInView(source) {
  const kinds = new Map();
  const add = (kind, n) => kinds.set(kind, (kinds.get(kind) ?? 0) + n);
  const known = knownInView();
  for (const event of known ?? []) if (source === null || event.source_id === source) add(event.kind, 1);
  if (known) return { kinds, exact: true };
  const near = state.near?.axis === state.axis ? state.near : whole();
  for (const lane of near?.lanes ?? []) {
    if (source === null || lane.source_id === source) for (const [kind, n] of Object.entries(lane.kinds)) add(kind, n);
  }
  return { kinds, exact: showsAll() };
}

/** The timelines that know of a lane, coarse first; the last one covers the view. */
export function layers(lane) {
  const found = [{ timeline: whole(), lane }];
  const near = state.near;
  if (near?.axis === state.axis && near.start_s < state.view.end && near.end_s > state.view.start) {
    const fine = near.byId.get(lane.source_id);
    if (fine) found.push({ timeline: near, lane: fine });
  }
  return found;
}

/** The events of a lane when all in view are known, else null. */
export function exactOf(source) {
  const { exact, view } = state;
  if (!exact || exact.axis !== state.axis || exact.start > view.start || exact.end < view.end) return null;
  return exact.bySource.get(source) ?? [];
}

/** Every known event in view that the list shows, or null when there are too many to know. */
export function exactInView() {
  return knownInView()?.filter(listed) ?? null;
}

function knownInView() {
  const { exact, view } = state;
  if (!exact || exact.axis !== state.axis || exact.start > view.start || exact.end < view.end) return null;
  return exact.events.filter((event) => overlaps(event, view.start, view.end));
}

export function listed(event) {
  return (state.source === null || event.source_id === state.source)
    && (!state.kinds.size || state.kinds.has(event.kind));
}

function overlaps(event, start, end) {
  const there = place(event);
  return there !== null && there.start < end && (there.end > start || there.start >= start);
}

/** How many events there are for each that is listed. */
export function rarity() {
  if (!state.kinds.size) return 1;
  const { kinds } = kindsInView(state.source);
  const of = (wanted) => [...kinds].reduce((sum, [kind, n]) => sum + (wanted(kind) ? n : 0), 0);
  return of(() => true) / of((kind) => state.kinds.has(kind)); // of none: infinitely many, so all is asked at once
}
