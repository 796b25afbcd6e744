// Fetches what is in view: the timeline as fine as the screen shows it, and every event where they are few.

import { answerOf, get, Problem } from "./api.js";
import { countInView } from "./known.js";
import { fit, laneOf, on, place, set, showsAll, state, wall, whole } from "./store.js";
import { t } from "./say.js";
import { isoText } from "./times.js";

const FEW = 600;         // events in view that are fetched and drawn one by one
const WAIT_MS = 110;     // a gesture asks once, when it rests
const AROUND = 0.3;      // fetched beyond each side of the view, as a share of it
const AGAIN_MS = 4000;   // what the live tail brought is counted anew at most this often

let tell = () => {};
let nearRun = null;
let exactRun = null;
let asked = null; // the range whose events are being asked for
let timer = 0;

/** Says whom to tell of problems: a function of a Problem, or of null when all is well again. */
export function onProblem(listener) {
  tell = listener;
}

const buckets = () => Math.min(600, Math.max(120, Math.round(window.innerWidth / 3)));

/** The service is counting a large log for the first time, or is away. */
function busy(problem) {
  tell(new Problem(problem?.status === 0 ? "" : t("counting"), problem?.status ?? 503));
}

/** Fetches the timelines of both axes; resolves when the first that has lanes is there, or with `both` when both are. */
export async function begin(both) {
  const early = window.sightlogEarly;
  const fetched = ["wall", "media"].map(async (axis) => {
    const timeline = await answerOf(early[axis], "/v1/timeline", { axis, buckets: buckets() }, busy);
    set({ whole: { ...state.whole, [axis]: timeline } });
    return timeline;
  });
  const [wallOne, mediaOne] = fetched;
  mediaOne.catch(() => {}); // told below, or with the other one's
  const first = await wallOne;
  tell(null);
  if (both || !first.lanes.length) await mediaOne;
  else mediaOne.catch((error) => tell(error));
  on("view axis", later);
  on("whole", laterIfNone);
}

/** Fetches the timeline of all there is again: a camera came, or the day went on. */
export async function refreshWhole(axis = state.axis) {
  const timeline = await get("/v1/timeline", { axis, buckets: buckets() });
  const all = axis === state.axis && !state.live && showsAll();
  set({ whole: { ...state.whole, [axis]: timeline } });
  if (all) fit(); // who looks at everything goes on to
}

/** The events of an axis in [start, end), a page of them: {events, next}. */
export async function page({ start, end, source, kinds, order, cursor, limit, signal }) {
  const found = await get("/v1/events", {
    source,
    start: bound(start),
    end: bound(end),
    kind: [...(kinds ?? [])],
    order,
    cursor,
    limit,
  }, { signal });
  return { events: found.events.filter(shown), next: found.next };
}

/** A place on the axis as a question's time: an instant, or an offset. */
export function bound(s) {
  if (s === null || s === undefined) return null;
  return wall() ? isoText(s) : String(Math.max(0, Math.round(s * 1000) / 1000));
}

/** Whether an event has a place on the current axis: of a recording only those of its newest session. */
function shown(event) {
  const lane = laneOf(event.source_id);
  if (!lane) return false;
  return wall() ? event.start_time !== null : lane.session === null || event.session === lane.session;
}

function laterIfNone() {
  if (!state.near && !state.exact) later();
}

/** Fetches for the view once it rests. */
export function later() {
  clearTimeout(timer);
  timer = setTimeout(() => { near(); exact(); }, WAIT_MS);
}

async function near(force = false) {
  const all = whole();
  if (!all?.lanes.length) return;
  const { start, end } = state.view;
  const length = end - start;
  if (length > 0.8 * (all.end_s - all.start_s)) return set({ near: null });
  const held = state.near;
  const fine = held?.axis === state.axis && held.start_s <= start && held.end_s >= end && held.bucket_s < (length / buckets()) * 1.7;
  if (fine && !force) return;
  nearRun?.abort();
  nearRun = new AbortController();
  const axis = state.axis;
  await quietly(async () => {
    const timeline = await get("/v1/timeline", {
      axis,
      start: String(start - AROUND * length),
      end: String(end + AROUND * length),
      buckets: Math.round(buckets() * (1 + 2 * AROUND)),
    }, { signal: nearRun.signal });
    if (axis !== state.axis) return;
    set({ near: withIds(timeline) });
    exact();
  });
}

function withIds(timeline) {
  timeline.byId = new Map(timeline.lanes.map((lane) => [lane.source_id, lane]));
  return timeline;
}

async function exact(force = false) {
  if (!whole()?.lanes.length) return;
  const { start, end } = state.view;
  const held = state.exact;
  if (!force && held?.axis === state.axis && held.start <= start && held.end >= end) return;
  if (countInView(null) > FEW) return;
  const { axis } = state;
  // one under way that will do: an aborted question goes on in the service, and would be paid for twice
  if (!force && asked?.axis === axis && asked.start <= start && asked.end >= end) return;
  exactRun?.abort();
  exactRun = new AbortController();
  const wanted = { start: start - AROUND * (end - start), end: end + AROUND * (end - start) };
  const ours = (asked = { axis, ...wanted });
  await quietly(async () => {
    const events = [];
    let cursor = null;
    do {
      const found = await page({ ...wanted, order: "asc", limit: 1000, cursor, signal: exactRun.signal });
      events.push(...found.events);
      cursor = found.next;
    } while (cursor && events.length < 3 * FEW);
    if (axis !== state.axis || cursor) return;
    set({ exact: indexed({ axis, ...wanted, events }) });
  });
  if (asked === ours) asked = null;
}

/** Sorts events by their place and groups them by source. */
export function indexed(exactly) {
  const sorted = exactly.events
    .map((event) => ({ event, there: place(event) }))
    .filter((one) => one.there !== null)
    .sort((a, b) => a.there.start - b.there.start || a.there.end - b.there.end || (a.event.event_id < b.event.event_id ? -1 : 1))
    .map((one) => one.event);
  const bySource = new Map();
  for (const event of sorted) {
    if (!bySource.has(event.source_id)) bySource.set(event.source_id, []);
    bySource.get(event.source_id).push(event);
  }
  return { ...exactly, events: sorted, bySource };
}

let countedMs = 0;
let counting = 0;

/** Counts again soon: the log has grown. */
export function grown() {
  clearTimeout(counting);
  counting = setTimeout(async () => {
    countedMs = Date.now();
    await quietly(async () => {
      const other = wall() ? "media" : "wall";
      await Promise.all([refreshWhole(), state.whole[other]?.lanes.length ? null : refreshWhole(other)]);
      await Promise.all([near(true), exact(true)]); // one that is under way may have asked too early
    });
  }, Math.max(0, countedMs + AGAIN_MS - Date.now()));
}

async function quietly(work) {
  try {
    await work();
    tell(null);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    tell(error);
  }
}
