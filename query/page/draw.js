// Paints lanes and the ruler: what was looked at, what not and why, and the events. Sharp on any screen.

import { fateOf, palette, pattern } from "./fates.js";
import { state, place, wall } from "./store.js";
import { marks } from "./times.js";

/** Makes a canvas as large as its element in device pixels; returns its context in CSS pixels, or null if hidden. */
function context(canvas) {
  const box = { width: canvas.clientWidth, height: canvas.clientHeight };
  if (!box.width || !box.height) return null;
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(box.width * scale);
  const height = Math.round(box.height * scale);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.clearRect(0, 0, box.width, box.height);
  return { g, width: box.width, height: box.height };
}

const x = (s, width) => ((s - state.view.start) / (state.view.end - state.view.start)) * width;

/** Paints one lane; `layers` are its timelines, coarse first: [{timeline, lane}]. `exact` are its events, or null. */
export function paintLane(canvas, layers, exact, { selected, compact }) {
  const at = context(canvas);
  if (!at || !layers.length) return;
  const { g, width, height } = at;
  const fine = layers.at(-1);
  for (const layer of layers) {
    const from = layer === fine ? -Infinity : fine.timeline.start_s;
    const to = layer === fine ? -Infinity : fine.timeline.end_s;
    paintFates(g, layer, width, height, from, to);
  }
  if (exact) paintEvents(g, exact, width, height, selected, compact);
  else for (const layer of layers) paintCounts(g, layer, width, height, layer === fine ? null : fine.timeline);
}

/** Paints runs of buckets of one fate, leaving out [from, to), which a finer timeline knows better. */
function paintFates(g, { timeline, lane }, width, height, from, to) {
  const { start_s: start, bucket_s: size } = timeline;
  const first = Math.max(0, Math.floor((Math.max(state.view.start, lane.start_s) - start) / size));
  const last = Math.min(lane.looked.length, Math.ceil((Math.min(state.view.end, lane.end_s) - start) / size));
  for (let i = first; i < last;) {
    const fate = fateOf(timeline, lane, i);
    let end = i + 1;
    while (end < last && fateOf(timeline, lane, end) === fate) end += 1;
    const spans = cut(Math.max(start + i * size, lane.start_s), Math.min(start + end * size, lane.end_s), from, to);
    for (const [lo, hi] of spans) {
      const left = Math.max(x(lo, width), -1);
      const right = Math.min(x(hi, width), width + 1);
      if (right <= left) continue;
      g.fillStyle = pattern(g, fate);
      g.fillRect(left, 0, Math.max(right - left, 1), height);
    }
    i = end;
  }
}

function cut(lo, hi, from, to) {
  if (hi <= from || lo >= to || from === to) return [[lo, hi]];
  return [[lo, Math.min(hi, from)], [Math.max(lo, to), hi]].filter(([a, b]) => b > a);
}

/** Paints how many events begin in each column: their height grows with the logarithm of their number. */
function paintCounts(g, { timeline, lane }, width, height, finer) {
  const { start_s: start, bucket_s: size } = timeline;
  const first = Math.max(0, Math.floor((state.view.start - start) / size));
  const last = Math.min(lane.events.length, Math.ceil((state.view.end - start) / size));
  const across = (size / (state.view.end - state.view.start)) * width;
  const bar = Math.min(Math.max(across - 0.6, 1.4), 7);
  const full = Math.log2(2 + Math.max(8, lane.peak ??= Math.max(0, ...lane.events)));
  g.fillStyle = palette().event;
  for (let i = first; i < last; i += 1) {
    const events = lane.events[i];
    const at = start + (i + 0.5) * size;
    if (!events || (finer && at >= finer.start_s && at < finer.end_s)) continue;
    const tall = Math.max((height - 8) * (Math.log2(1 + events) / full), 5);
    g.fillRect(x(at, width) - bar / 2, height - 3 - tall, bar, tall);
  }
}

const ROWS = 4;
const TALLEST = 18;

/** Puts those events on the screen into the first of so many rows that is free: [{event, left, right, row}]. */
function rowsOf(events, width, most) {
  const free = new Array(most).fill(-Infinity);
  const found = [];
  for (const event of events) {
    const there = place(event);
    if (!there) continue;
    const left = x(there.start, width);
    const right = Math.max(x(there.end, width), left + 3);
    if (right < -2 || left > width + 2) continue;
    let row = 0;
    while (row < most - 1 && free[row] > left - 0.5) row += 1;
    free[row] = Math.max(free[row], right + 1);
    found.push({ event, left, right, row });
  }
  return found;
}

/** Paints every event: from its start to its end, those at once below one another. */
function paintEvents(g, events, width, height, selected, compact) {
  const c = palette();
  const gap = compact ? 1 : 2;
  const spans = rowsOf(events, width, compact ? 2 : ROWS);
  const rows = Math.max(1, ...spans.map((span) => span.row + 1));
  const tall = Math.min((height - 6 - (rows - 1) * gap) / rows, TALLEST);
  const above = (height - rows * tall - (rows - 1) * gap) / 2;
  let chosen = null;
  for (const { event, left, right, row } of spans) {
    const top = above + row * (tall + gap);
    if (event.event_id === selected) chosen = [left, top, right];
    paintSpan(g, c, left, top, right, tall);
  }
  if (chosen) {
    const [left, top, right] = chosen;
    g.fillStyle = c.selected;
    g.fillRect(left, top, right - left, tall);
    g.strokeStyle = c.selected;
    g.lineWidth = 1.5;
    g.strokeRect(left - 2.5, top - 2.5, right - left + 5, tall + 5);
  }
}

function paintSpan(g, c, left, top, right, tall) {
  g.fillStyle = c.event;
  g.fillRect(left, top, right - left, tall);
  g.fillStyle = c["event-strong"]; // where it begins is what people look for
  g.fillRect(left, top, Math.min(3, right - left), tall);
}

/** Paints the ruler over the lanes. */
export function paintRuler(canvas) {
  const at = context(canvas);
  if (!at) return [];
  const { g, width, height } = at;
  const c = palette();
  const found = marks(state.view.start, state.view.end, width, wall(), 84);
  g.font = `12px ${c.font}`;
  g.textBaseline = "middle";
  for (const mark of found) {
    const left = Math.round(x(mark.at, width)) + 0.5;
    g.strokeStyle = c.line;
    g.beginPath();
    g.moveTo(left, height - 7);
    g.lineTo(left, height);
    g.stroke();
    const wide = g.measureText(mark.text).width;
    if (left + wide + 5 > width) continue;
    g.fillStyle = mark.major ? c["ink-2"] : c["ink-3"];
    g.font = `${mark.major ? "600 " : ""}12px ${c.font}`;
    g.fillText(mark.text, left + 5, height / 2);
  }
  return found;
}
