// Shows the chosen moment: the player at the second, what was there, before and after, and who was looking.

import { byId, fill, h, icon } from "./dom.js";
import { link } from "./links.js";
import { choose, leave } from "./moment.js";
import * as player from "./player.js";
import { name, share, t } from "./say.js";
import { on, place, reveal, state } from "./store.js";
import { clockText, dayText, exactText, isoText, lengthText, mediaText, placeText } from "./times.js";
import * as overview from "./overview.js";

let parts = null;
let playing = null;
let step = () => {};
let returnTo = null;

/** Builds the detail; `stepped` is called with "before" or "after". */
export function begin(stepped) {
  step = stepped;
  on("selected", draw);
  on("axis whole source view exact", () => { if (!state.selected) draw(); });
  draw();
}

/** Says everything again in the language that was chosen. */
export function again() {
  parts = null;
  playing = null;
  draw();
}

function build() {
  parts = {
    when: h("h2", { class: "when" }),
    whence: h("p", { class: "whence" }),
    screen: h("div", { class: "player" }),
    body: h("div", { class: "moment" }),
  };
  const copy = h("button", { type: "button", class: "tool", "aria-label": t("copy_link"), title: t("copy_link"), onclick: copyLink },
    icon("M8.5 11.5a3 3 0 0 0 4.3 0l2.4-2.4a3 3 0 0 0-4.3-4.3l-1 1", "M11.5 8.5a3 3 0 0 0-4.3 0l-2.4 2.4a3 3 0 0 0 4.3 4.3l1-1"));
  const close = h("button", { type: "button", class: "tool", "aria-label": t("close"), title: t("close"), onclick: shut }, icon("M5 5l10 10M15 5L5 15"));
  fill(byId("detail"),
    h("div", { class: "detail-head" }, h("div", { class: "detail-title" }, parts.when, parts.whence), copy, close),
    parts.screen,
    h("div", { class: "steps" },
      h("button", { type: "button", class: "step", id: "before", onclick: () => step("before") }, icon("M12.5 4l-6 6 6 6"), t("before"), h("kbd", { text: "k" })),
      h("button", { type: "button", class: "step", id: "after", onclick: () => step("after") }, t("after"), h("kbd", { text: "j" }), icon("M7.5 4l6 6-6 6"))),
    parts.body);
}

/** Closes the detail, and gives the focus back. */
export function shut() {
  player.stop();
  playing = null;
  leave();
  returnTo?.focus?.();
}

async function copyLink(event) {
  const button = event.currentTarget;
  const text = link(state.selected);
  try {
    await navigator.clipboard.writeText(text);
    button.dataset.done = t("copied");
  } catch { // no clipboard without https: the address bar holds the same
    button.dataset.done = t("copy_from_address");
  }
  byId("announce").textContent = button.dataset.done;
  setTimeout(() => { delete button.dataset.done; }, 2400);
}

function draw() {
  const { selected } = state;
  document.body.classList.toggle("has-moment", selected !== null);
  if (!selected) {
    parts = null;
    playing = null;
    overview.draw(byId("detail"));
    return;
  }
  if (!parts) {
    returnTo = document.activeElement;
    build();
    byId("detail").scrollTop = 0;
  }
  const isWall = selected.axis === "wall";
  parts.when.textContent = isWall ? clockText(selected.place) : mediaText(selected.place);
  parts.when.title = exactText(selected.place, isWall);
  fill(parts.whence, h("span", { class: "source", text: selected.source }), " · ",
    isWall ? dayText(selected.place) : t("into_recording"),
    isWall ? h("span", { class: "utc", text: ` · ${isoText(selected.place)}` }) : null);
  screen(selected);
  fill(parts.body, body(selected));
}

/** Shows the second in the player, once the session is known; again only for another second. */
function screen(selected) {
  const settled = selected.answer !== null || selected.problem !== null || selected.session !== null;
  const key = JSON.stringify([selected.source, selected.session, selected.media_s, selected.place, selected.event?.event_id]);
  if (!settled || key === playing) return;
  playing = key;
  player.show(parts.screen, { ...selected, end_s: selected.event?.end_s }, { autoplay: selected.play });
}

function body(selected) {
  const { answer, event, problem } = selected;
  const covering = (answer?.covering ?? []).filter((one) => one.event_id !== event?.event_id);
  const found = [];
  if (event) found.push(whole(event));
  if (problem) found.push(h("p", { class: "says-problem", text: problem.message || t("service_lost") }));
  if (!answer) return problem || selected.unasked ? found : [...found, h("p", { class: "waiting", text: t("loading") })];
  found.push(looking(answer));
  if (covering.length) {
    found.push(h("h3", { text: event ? t("also_then") : t("at_this_second") }), rows(covering, selected));
  } else if (!event) {
    found.push(h("p", { class: "quiet-note", text: answer.covered_share > 0 ? t("nothing_then") : t("nothing_known_then") }));
  }
  if (answer.before.length) found.push(h("h3", { text: t("before") }), rows(answer.before, selected));
  if (answer.after.length) found.push(h("h3", { text: t("after") }), rows(answer.after, selected));
  if (answer.time?.interpretation) found.push(h("p", { class: "fine", text: answer.time.interpretation }));
  return found;
}

/** An event with everything the log says of it. */
function whole(event) {
  const there = place(event) ?? { start: event.start_s, end: event.end_s };
  const isWall = state.axis === "wall" && event.start_time !== null;
  const lasts = there.end > there.start ? ` – ${placeText(there.end, isWall, there.start)} (${lengthText(there.end - there.start)})` : "";
  return h("article", { class: "event-whole" },
    h("p", { class: "event-line" }, h("span", { class: "kind", text: name("kind", event.kind) }),
      h("span", { class: "span", text: `${placeText(there.start, isWall, there.start)}${lasts}` })),
    h("p", { class: "description", dir: "auto", text: event.description }),
    event.visible_text ? h("blockquote", { dir: "auto", text: event.visible_text }) : null,
    facts(event));
}

function facts(event) {
  const list = [
    [t("media_time"), `${mediaText(event.start_s, 3)} – ${mediaText(event.end_s, 3)}`],
    event.start_time ? ["UTC", event.start_time] : null,
    [t("time_from"), event.time_error_s === null ? name("clock", event.time_source) : `${name("clock", event.time_source)} ± ${lengthText(event.time_error_s)}`],
    [t("described_by"), event.confidence === null ? event.describer : `${event.describer} · ${share(event.confidence)}`],
    event.flags.length ? [t("flags"), event.flags.join(", ")] : null,
    ...Object.entries(event.attributes ?? {}).filter(([, value]) => value !== "" && value !== null && !(Array.isArray(value) && !value.length))
      .map(([key, value]) => [key, typeof value === "object" ? JSON.stringify(value) : String(value)]),
    [t("event_id"), event.event_id],
  ].filter(Boolean);
  return h("details", { class: "facts" }, h("summary", { text: t("details") }),
    h("dl", null, list.map(([key, value]) => [h("dt", { text: key }), h("dd", { dir: "auto", text: value })])));
}

/** Whether anybody was looking, in words and with the pattern of the lanes. */
function looking(answer) {
  const { outcome, reason, reason_code: code } = answer.coverage;
  const looked = answer.covered_share > 0;
  const gap = answer.gap;
  const from = gap?.start_time ? Date.parse(gap.start_time) / 1000 : gap?.start_s;
  const to = gap?.end_time ? Date.parse(gap.end_time) / 1000 : gap?.end_s;
  const isWall = Boolean(gap?.start_time || gap?.end_time);
  const stretch = gap && (typeof from === "number" || typeof to === "number")
    ? t("not_seen_from_to", {
      from: typeof from === "number" ? placeText(from, isWall) : "…",
      to: typeof to === "number" ? placeText(to, isWall, from ?? null) : "…",
    }) : "";
  const why = looked ? "" : [name("outcome_says", outcome), reason || (code ? name("reason", code) : ""), stretch].filter(Boolean).join(" · ");
  return h("p", { class: `looking ${looked ? "yes" : "no"}` },
    h("span", { class: `sample fate-${outcome}`, "aria-hidden": "true" }),
    h("span", null, h("b", { text: looked ? t(outcome === "quiet" ? "looked_quiet" : "looked") : t("not_looked") }), why ? h("span", { dir: "auto", text: ` ${why}` }) : null));
}

function rows(events, selected) {
  return h("ul", { class: "mini" }, events.map((event) => {
    const there = place(event);
    const isWall = state.axis === "wall" && event.start_time !== null;
    const start = there?.start ?? event.start_s;
    return h("li", null, h("button", {
      type: "button",
      onclick: () => { choose({ source: event.source_id, event, announced: true }); reveal(start, there?.end); },
    }, h("time", { text: placeText(start, isWall, isWall ? selected.place : null) }),
    h("span", { class: "kind", text: name("kind", event.kind) }), h("span", { class: "what", dir: "auto", text: event.description })));
  }));
}
