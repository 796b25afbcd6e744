// Shows the sources as lanes: names, canvases, and a tick that the keyboard moves and screen readers read.

import { announce, byId, everyFrame, fill, h } from "./dom.js";
import { paintLane, paintRuler } from "./draw.js";
import { lookedShare } from "./fates.js";
import { exactOf, layers } from "./known.js";
import { lanes, on, place, set, state, wall, whole } from "./store.js";
import { count, name, share, t } from "./say.js";
import { stepInLane } from "./step.js";
import { exactText, placeText, rangeText, zoneText } from "./times.js";

const rows = new Map(); // source -> {row, canvas, label, tick, drawn}
let seen = null;
let choose = () => {};
let focused = null;

/** Builds the lanes; `chosen` is called with {source, event} or {source, at} that the person picked. */
export function begin(chosen) {
  choose = chosen;
  const redraw = everyFrame(draw);
  seen = new IntersectionObserver((entries) => {
    for (const entry of entries) rows.get(entry.target.dataset.source).visible = entry.isIntersecting;
    redraw();
  }, { root: byId("lanes"), rootMargin: "120px" });
  on("whole axis", () => { build(); redraw(); });
  on("view near exact selected source playhead kinds", redraw);
  new ResizeObserver(redraw).observe(byId("lanes"));
  matchMedia("(resolution: 1dppx)").addEventListener("change", redraw);
  build();
  draw();
  return redraw;
}

/** Where the track lies on the screen: {left, width}. */
export function track() {
  const canvas = byId("lanes").querySelector("canvas") ?? byId("ruler");
  const box = canvas.getBoundingClientRect();
  return { left: box.left, width: box.width };
}

function build() {
  const wanted = lanes();
  const names = wanted.map((lane) => lane.source_id).join("\n");
  const holder = byId("lanes");
  holder.dataset.size = wanted.length <= 4 ? "few" : wanted.length <= 14 ? "some" : "many";
  if (holder.dataset.names !== `${state.axis}\n${names}`) {
    holder.dataset.names = `${state.axis}\n${names}`;
    seen.disconnect();
    rows.clear();
    fill(holder, wanted.map((lane, i) => make(lane, i === 0)));
  }
  for (const lane of wanted) label(lane);
}

function make(lane, first) {
  const source = lane.source_id;
  const canvas = h("canvas", { "aria-hidden": "true" });
  const labelled = h("button", { type: "button", class: "lane-name", tabindex: "-1", onclick: () => only(source) },
    h("span", { class: "lane-id", text: source }), h("span", { class: "lane-note" }));
  const tick = h("div", { class: "tick", role: "option", id: `tick-${rows.size}`, "aria-selected": "false" });
  const strip = h("div", {
    class: "track", role: "listbox", tabindex: first ? "0" : "-1", "data-source": source,
    "aria-orientation": "horizontal", onfocus: () => { focused = source; rove(source); }, onkeydown: key,
  }, canvas, tick);
  const row = h("div", { class: "lane" }, labelled, strip);
  rows.set(source, { row, canvas, strip, label: labelled, tick, visible: first });
  seen.observe(strip);
  return row;
}

function label(lane) {
  const one = rows.get(lane.source_id);
  const events = lane.events.reduce((sum, n) => sum + n, 0);
  const looked = lookedShare(whole(), lane);
  const note = `${count(events)} · ${share(looked)}`;
  one.label.querySelector(".lane-note").textContent = note;
  const said = t("lane_says", { source: lane.source_id, events: count(events), looked: share(looked) });
  one.label.title = `${said}\n${t("only_this_source")}`;
  one.label.setAttribute("aria-label", `${said} ${t("only_this_source")}`);
  one.strip.setAttribute("aria-label", said);
}

/** Lists one source only, or all again. */
export function only(source) {
  set({ source: state.source === source ? null : source });
}

function draw() {
  const compact = byId("lanes").dataset.size === "many";
  for (const lane of lanes()) {
    const one = rows.get(lane.source_id);
    if (!one) continue;
    one.label.setAttribute("aria-pressed", String(state.source === lane.source_id));
    one.row.classList.toggle("dim", state.source !== null && state.source !== lane.source_id);
    if (!one.visible) continue;
    let events = exactOf(lane.source_id);
    if (events && state.kinds.size) events = events.filter((event) => state.kinds.has(event.kind));
    const selected = state.selected?.source === lane.source_id ? state.selected.event?.event_id : null;
    paintLane(one.canvas, layers(lane), events, { selected, compact });
    mark(lane.source_id, one);
  }
  paintRuler(byId("ruler"));
  byId("range").textContent = rangeText(state.view.start, state.view.end, wall());
  byId("zone").textContent = wall() ? zoneText(state.view.end) : t("media_time");
  byId("zone").title = wall() ? `UTC ${exactText(state.view.start, true)} – ${exactText(state.view.end, true)}` : "";
  hold();
}

const along = (s) => (s - state.view.start) / (state.view.end - state.view.start);

/** Places the tick of a lane over its selected moment. */
function mark(source, one) {
  const chosen = state.selected?.source === source && !state.selected.unasked ? state.selected : null;
  const at = chosen && chosen.axis === state.axis ? along(chosen.place) : -1;
  one.tick.hidden = !(at >= 0 && at <= 1);
  one.tick.style.left = `${at * 100}%`;
  one.tick.setAttribute("aria-selected", String(!one.tick.hidden));
  one.tick.setAttribute("aria-label", chosen ? says(chosen) : t("no_event_chosen"));
  if (one.tick.hidden) one.strip.removeAttribute("aria-activedescendant");
  else one.strip.setAttribute("aria-activedescendant", one.tick.id);
}

function says(chosen) {
  const when = placeText(chosen.place, chosen.axis === "wall");
  return chosen.event ? `${when}, ${name("kind", chosen.event.kind)}: ${chosen.event.description}` : when;
}

/** Shows where the player is. */
function hold() {
  const cursor = byId("cursor");
  const at = state.playhead === null ? -1 : along(state.playhead);
  cursor.hidden = !(at >= 0 && at <= 1);
  if (cursor.hidden) return;
  const box = track();
  const outer = byId("timeline").getBoundingClientRect();
  cursor.style.transform = `translateX(${box.left - outer.left + at * box.width}px)`;
}

function rove(source) {
  for (const [id, one] of rows) one.strip.tabIndex = id === source ? 0 : -1;
}

async function key(event) {
  const source = event.currentTarget.dataset.source;
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const ids = [...rows.keys()];
  const to = { ArrowUp: ids[ids.indexOf(source) - 1], ArrowDown: ids[ids.indexOf(source) + 1] }[event.key];
  const way = { ArrowLeft: "before", ArrowRight: "after", Home: "first", End: "last" }[event.key];
  if (to) rows.get(to).strip.focus();
  else if (way) {
    event.preventDefault();
    event.stopPropagation();
    const found = await stepInLane(source, way);
    if (found) choose({ source, event: found, announced: true });
    else announce(t(way === "before" || way === "first" ? "nothing_before" : "nothing_after"));
    return;
  } else if (event.key === "Enter") {
    if (state.selected?.source === source) byId("detail").focus();
    else { const found = await stepInLane(source, "first"); if (found) choose({ source, event: found, announced: true }); }
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

/** What lies under a pointer: {source, at, event} or null. `at` is the place on the axis. */
export function under(clientX, clientY, reach = 7) {
  const strip = document.elementsFromPoint(clientX, clientY).find((one) => one.classList?.contains("track"));
  if (!strip) return null;
  const box = strip.getBoundingClientRect();
  const per = (state.view.end - state.view.start) / box.width;
  const at = state.view.start + (clientX - box.left) * per;
  const source = strip.dataset.source;
  return { source, at, event: hit(source, at, per * reach), fine: exactOf(source) !== null };
}

/** The event nearest to a place: one that covers it, the shortest first, else one whose start is in reach. */
function hit(source, at, reach) {
  let best = null;
  let least = Infinity;
  for (const event of exactOf(source) ?? []) {
    if (state.kinds.size && !state.kinds.has(event.kind)) continue;
    const there = place(event);
    const off = at < there.start ? there.start - at : at > there.end ? at - there.end : 0;
    const cost = off > 0 ? off / reach + 1 : (there.end - there.start) / (reach * 1000);
    if (off <= reach && cost < least) {
      best = event;
      least = cost;
    }
  }
  return best;
}

/** Picks what is under a pointer. A column of many events is come closer to first. */
export function pick(clientX, clientY) {
  const there = under(clientX, clientY);
  if (!there) return;
  if (there.event) choose({ source: there.source, event: there.event });
  else choose({ source: there.source, at: there.at });
}

export const focusedSource = () => focused ?? state.source ?? state.selected?.source ?? lanes()[0]?.source_id ?? null;

export function focusLane(source) {
  rows.get(source)?.strip.focus();
}
