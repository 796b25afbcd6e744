// Lists the events in view: only the rows on the screen are in the document, further ones are fetched as one scrolls.

import { page } from "./data.js";
import { byId, everyFrame, fill, h } from "./dom.js";
import { countText, exactInView, kindsInView, listed, rarity, stretch } from "./known.js";
import { lanes, on, place, set, state, wall } from "./store.js";
import { count, name, t } from "./say.js";
import { exactText, placeText } from "./times.js";

const ROW = 44;
const ROW_TOUCH = 60;
const OVER = 8;        // rows beyond each edge
const PAGE = 200;
const REST_MS = 180;
const LIVE_MS = 3000;

let choose = () => {};
let held = { key: "", events: [], next: null, done: false, loading: null };
let timer = 0;
let scroller = null;
let spacer = null;
let note = null;
const drawn = new Map(); // index -> element

const narrow = matchMedia("(max-width: 699px)");
const tall = () => (narrow.matches ? ROW_TOUCH : ROW);

/** Builds the list; `chosen` is called with {source, event}. */
export function begin(chosen) {
  choose = chosen;
  scroller = byId("panel-view");
  spacer = h("div", { class: "rows", role: "list", "data-label": "events" });
  note = h("div", { class: "list-note" });
  fill(scroller, spacer, note);
  const redraw = everyFrame(draw);
  scroller.addEventListener("scroll", () => { redraw(); more(); }, { passive: true });
  spacer.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) choose({ source: held.events[row.dataset.i].source_id, event: held.events[row.dataset.i] });
  });
  spacer.addEventListener("keydown", keys);
  new ResizeObserver(redraw).observe(scroller);
  narrow.addEventListener("change", () => { clear(); redraw(); });
  on("view axis source kinds order exact whole", later);
  on("selected", () => { follow(); redraw(); });
  on("kinds source axis near exact whole view", chips);
  byId("order").addEventListener("click", () => set({ order: state.order === "asc" ? "desc" : "asc" }));
  chips();
  later();
  return () => { held.key = ""; clear(); chips(); later(); };
}

function later() {
  byId("count-view").textContent = state.kinds.size ? "" : countText();
  byId("order").textContent = t(state.order === "asc" ? "oldest_first" : "newest_first");
  byId("order").setAttribute("aria-pressed", String(state.order === "desc"));
  if (state.live && timer) return; // the view moves all the time: the list follows in steps
  clearTimeout(timer);
  timer = 0;
  if (exactInView()) load();
  else timer = setTimeout(() => { timer = 0; load(); }, state.live ? LIVE_MS : REST_MS);
}

function load() {
  const known = exactInView();
  const key = JSON.stringify([state.axis, state.source, [...state.kinds], state.order, state.view]);
  if (known) {
    const events = inOrder(known);
    const same = events.length === held.events.length && events.every((event, i) => event === held.events[i]);
    const first = !held.events.length;
    held.loading?.abort();
    held = { key, events, next: null, done: true, loading: null };
    byId("count-view").textContent = count(events.length);
    if (!same) clear();
    draw();
    if (first) follow();
    return;
  }
  if (held.key === key) return;
  held.loading?.abort();
  held = { key, events: [], next: null, done: false, loading: null, old: held.events };
  fetchMore(true);
}

/** Cameras by time, all together; recordings one after another. */
function inOrder(known) {
  if (wall()) return state.order === "asc" ? known : [...known].reverse();
  const way = state.order === "asc" ? 1 : -1;
  const number = new Map(lanes().map((lane, i) => [lane.source_id, i]));
  return [...known].sort((a, b) => number.get(a.source_id) - number.get(b.source_id) || way * (a.start_s - b.start_s));
}

/** The row of the source's event that begins nearest to a moment; -1 without one. */
function nearest({ source, place: at }) {
  let best = -1;
  let least = Infinity;
  for (const [i, event] of held.events.entries()) {
    const off = event.source_id === source ? Math.abs(place(event).start - at) : Infinity;
    if (off < least) [best, least] = [i, off];
  }
  return best;
}

/** Brings the row of the chosen event into sight, when it is listed and out of it. */
function follow() {
  const { selected } = state;
  if (!selected || selected.axis !== state.axis) return;
  const id = selected.event?.event_id;
  const i = id ? held.events.findIndex((event) => event.event_id === id) : nearest(selected);
  const size = tall();
  if (i >= 0 && (i * size < scroller.scrollTop || (i + 1) * size > scroller.scrollTop + scroller.clientHeight)) {
    scroller.scrollTop = (i + 0.5) * size - scroller.clientHeight / 2;
  }
}

async function fetchMore(fresh = false) {
  if (held.done || held.loading || !lanes().length) return draw();
  const mine = held;
  mine.loading = new AbortController();
  try {
    // A stretch that holds about a page of events, then the next one: of a long log the service reads a part.
    mine.part ??= stretch(state.order === "asc" ? state.view.start : state.view.end, state.order, PAGE * rarity());
    const { start, end } = mine.part;
    const found = await page({
      start, end, source: state.source, kinds: state.kinds,
      order: state.order, limit: PAGE, cursor: mine.next, signal: mine.loading.signal,
    });
    if (mine !== held) return;
    // What began before a stretch is in the one before.
    const first = start <= state.view.start;
    mine.events.push(...found.events.filter((event) => listed(event) && (first || place(event).start >= start)));
    mine.next = found.next;
    mine.problem = null;
    if (found.next === null) {
      mine.done = state.order === "asc" ? end >= state.view.end : first;
      mine.parts = (mine.parts ?? 1) * 2; // ever longer ones: what is rare takes few questions
      if (!mine.done) mine.part = stretch(state.order === "asc" ? end : start, state.order, PAGE * rarity() * mine.parts);
    }
  } catch (problem) {
    if (problem.name === "AbortError" || mine !== held) return;
    mine.done = true;
    mine.problem = problem.message || t("service_lost");
  } finally {
    mine.loading = null;
  }
  if (fresh) { clear(); if (!state.live) scroller.scrollTop = 0; }
  draw();
  more();
}

function more() {
  if (!held.done && !held.loading && scroller.scrollTop + 2 * scroller.clientHeight > held.events.length * tall()) fetchMore();
}

function clear() {
  drawn.clear();
  spacer.replaceChildren();
}

function draw() {
  const size = tall();
  const { events } = held;
  spacer.style.height = `${events.length * size}px`;
  const first = Math.max(0, Math.floor(scroller.scrollTop / size) - OVER);
  const last = Math.min(events.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / size) + OVER);
  for (const [i, row] of drawn) {
    if (i >= first && i < last) continue;
    if (row.contains(document.activeElement)) continue;
    row.remove();
    drawn.delete(i);
  }
  for (let i = first; i < last; i += 1) {
    if (!drawn.has(i)) {
      const row = make(events[i], i);
      row.style.transform = `translateY(${i * size}px)`;
      drawn.set(i, row);
      spacer.append(row);
    }
    const chosen = state.selected?.event?.event_id === events[i].event_id;
    drawn.get(i).setAttribute("aria-current", String(chosen));
  }
  says();
}

function says() {
  const text = held.problem ? held.problem
    : held.events.length ? (held.done ? "" : t("loading_more"))
      : !held.done ? t("loading")
        : !lanes().length ? ""
          : state.kinds.size || state.source !== null ? t("no_events_filtered") : t("no_events_in_view");
  note.textContent = text;
  note.hidden = !text;
}

function make(event, i) {
  const there = place(event);
  const before = held.events[i - 1] ? place(held.events[i - 1]) : null;
  const time = h("time", { text: placeText(there.start, wall(), before?.start ?? null) });
  time.title = exactText(there.start, wall());
  return h("div", { class: "row-holder", role: "listitem" },
    h("button", { type: "button", class: "row", "data-i": String(i) }, time,
      h("span", { class: "row-source", text: event.source_id }),
      h("span", { class: "kind", text: name("kind", event.kind) }),
      h("span", { class: "what", dir: "auto", text: event.description || event.visible_text })));
}

/** Up and down move between rows; the row that is wanted may have to be made first. */
function keys(event) {
  const row = event.target.closest(".row");
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
  if (!row || by === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  const i = Math.min(Math.max(Number(row.dataset.i) + by, 0), held.events.length - 1);
  const size = tall();
  const top = i * size;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + size > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + size - scroller.clientHeight;
  draw();
  drawn.get(i)?.querySelector(".row").focus();
}

/** The kinds of what is in view, to list only some. */
function chips() {
  const holder = byId("chips");
  const { kinds, exact } = kindsInView(state.source);
  for (const kind of state.kinds) if (!kinds.has(kind)) kinds.set(kind, 0);
  const sorted = [...kinds].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const key = JSON.stringify([sorted, exact, [...state.kinds], state.source, document.documentElement.lang]);
  if (holder.dataset.key === key) return;
  holder.dataset.key = key;
  const focused = holder.contains(document.activeElement) ? document.activeElement.dataset.kind : null;
  fill(holder,
    state.source === null ? null : h("button", { type: "button", class: "chip source-chip", onclick: () => set({ source: null }), title: t("all_sources") }, h("span", { text: state.source }), h("span", { class: "x", "aria-hidden": "true", text: "×" })),
    sorted.slice(0, 24).map(([kind, n]) => h("button", {
      type: "button", class: "chip", "data-kind": kind, "aria-pressed": String(state.kinds.has(kind)), onclick: () => toggle(kind),
    }, h("span", { text: name("kind", kind) }), exact ? h("b", { text: count(n) }) : null)));
  if (focused) [...holder.querySelectorAll(".chip")].find((chip) => chip.dataset.kind === focused)?.focus();
}

function toggle(kind) {
  const kinds = new Set(state.kinds);
  if (!kinds.delete(kind)) kinds.add(kind);
  set({ kinds });
}
