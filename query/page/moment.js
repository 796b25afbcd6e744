// Chooses a moment, and asks the service what was there: the one way into the detail, from tick, row, link or text.

import { get } from "./api.js";
import { bound } from "./data.js";
import { announce } from "./dom.js";
import { axisOf, write } from "./links.js";
import { laneOf, place, reveal, set, state, wall } from "./store.js";
import { name, t } from "./say.js";
import { placeText, zone } from "./times.js";

const NEAR = 4; // events asked for before and after
let run = 0;
let changeAxis = () => {};

/** Says how the axis is changed. */
export function onAxis(change) {
  changeAxis = change;
}

/**
 * Chooses a moment of a source: an `event`, a place `at` on the axis, or a `time` as people write it.
 *
 * `jump` brings it into view, `announced` tells screen readers. Resolves when the answer is there; raises
 * Problem when a `time` cannot be read.
 */
export async function choose({ source, event = null, at = null, time = null, jump = false, announced = false, play = true }) {
  const mine = ++run;
  if (event) settle(event);
  const there = event ? place(event) : null;
  const start = there?.start ?? at;
  let selected = {
    axis: state.axis, source, event, place: start ?? 0, play,
    session: event?.session ?? null, media_s: event?.start_s ?? null, answer: null, problem: null,
  };
  if (time === null) {
    set({ selected });
    write(selected);
    if (jump) reveal(start, there?.end ?? start);
    if (announced) announce(spoken(selected));
  }
  const asked = time ?? askable(selected);
  if (asked === null) { // the event is all that can be said
    set({ selected: { ...selected, unasked: true } });
    return;
  }
  let answer;
  try {
    answer = await get("/v1/at", { source, time: asked, tz: zone, n: NEAR });
  } catch (problem) {
    if (mine !== run) return;
    if (time !== null) throw problem;
    set({ selected: { ...selected, problem } });
    return;
  }
  if (mine !== run) return;
  if (time !== null) selected = found(source, answer, play);
  selected = {
    ...selected,
    answer,
    session: selected.session ?? answer.session,
    media_s: selected.media_s ?? answer.time.media_s,
  };
  set({ selected });
  if (time === null) return;
  write(selected);
  const covering = selected.event ? place(selected.event) : null;
  if (jump) reveal(selected.place, Math.max(selected.place, Math.min(covering?.end ?? 0, selected.place + 60)));
  announce(spoken(selected));
}

/** Changes to an axis on which the event has a place. */
function settle(event) {
  const here = laneOf(event.source_id);
  const fits = here && (wall() ? event.start_time !== null : here.session === null || here.session === event.session);
  if (fits) return;
  const other = event.start_time !== null ? "wall" : "media";
  if (other !== state.axis) changeAxis(other);
}

/** The time to ask /v1/at for; null where no question can name it: an older session without a clock. */
function askable({ source, event, place: start }) {
  if (event?.start_time) return event.start_time;
  const lane = laneOf(source);
  if (event && lane?.session && lane.session !== event.session) return null;
  return bound(start);
}

function found(source, answer, play) {
  const id = answer.source_id ?? source;
  const utc = answer.time.utc === null ? null : Date.parse(answer.time.utc) / 1000;
  const wanted = axisOf({ source: id, time: utc !== null && (wall() || answer.time.media_s === null) ? answer.time.utc : "0" });
  if (wanted !== state.axis) changeAxis(wanted);
  return {
    axis: wanted, source: id, play, problem: null, session: answer.session, media_s: answer.time.media_s,
    event: null, place: (wanted === "wall" ? utc : answer.time.media_s) ?? utc ?? 0, answer,
  };
}

function spoken({ event, place: start, source, axis }) {
  const when = placeText(start, axis === "wall");
  return event
    ? `${when}, ${source}, ${name("kind", event.kind)}: ${event.description}`
    : t("moment_says", { when, source });
}

/** Forgets the moment. */
export function leave() {
  run += 1;
  set({ selected: null, playhead: null });
  write(null);
}
