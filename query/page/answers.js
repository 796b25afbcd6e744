// Shows what was found: hits of a search, or the answer to a question with its citations as links to the moment.

import { announce, byId, fill, h } from "./dom.js";
import { hash } from "./links.js";
import { choose } from "./moment.js";
import { count, name, share, t } from "./say.js";
import { isoText, mediaText, placeText } from "./times.js";

const MOST_GAPS = 5;
const narrow = matchMedia("(max-width: 699px)");

/** Builds the tabs of the lists. */
export function begin() {
  for (const id of ["view", "found"]) {
    byId(`tab-${id}`).addEventListener("click", () => open(id));
    byId(`tab-${id}`).addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key) || byId("tab-found").hidden) return;
      event.preventDefault();
      event.stopPropagation();
      const other = id === "view" ? "found" : "view";
      open(other);
      byId(`tab-${other}`).focus();
    });
  }
}

/** Opens one of the lists. */
export function open(id) {
  for (const one of ["view", "found"]) {
    byId(`tab-${one}`).setAttribute("aria-selected", String(one === id));
    byId(`tab-${one}`).tabIndex = one === id ? 0 : -1;
    byId(`panel-${one}`).hidden = one !== id;
  }
  byId("events").dataset.open = id;
}

function head(mode, number) {
  byId("tab-found").hidden = false;
  byId("found-name").textContent = t(mode === "ask" ? "answer" : mode === "time" ? "time" : "found");
  byId("count-found").textContent = number === null ? "" : count(number);
  open("found");
  if (narrow.matches) byId("events").scrollIntoView({ block: "start" });
}

export function waiting(mode, text) {
  head(mode, null);
  fill(byId("panel-found"), title(text), h("p", { class: "waiting", text: t(mode === "ask" ? "thinking" : "loading") }));
}

export function problem(mode, text, error) {
  head(mode, null);
  const said = error.message || t(error.status === 401 ? "no_token" : "service_lost");
  fill(byId("panel-found"), title(text), h("p", { class: "says-problem", role: "alert", dir: "auto", text: said }));
}

function title(text) {
  return h("div", { class: "found-head" }, h("h3", { class: "asked", dir: "auto", text }),
    h("button", { type: "button", class: "tool wide", onclick: shut, text: t("close") }));
}

/** Closes what was found. */
export function shut() {
  byId("tab-found").hidden = true;
  open("view");
}

export function hits(text, { events, mode }) {
  head("search", events.length);
  const how = mode && mode !== "text" ? ` · ${name("search_mode", mode)}` : "";
  fill(byId("panel-found"), title(text),
    events.length ? h("ol", { class: "hits" }, events.map((event) => h("li", null, row(event))))
      : h("p", { class: "quiet-note", text: t("nothing_found") }));
  announce(t("found_says", { n: count(events.length) }) + how);
}

/** A moment in few words: its source, day and time, whichever axis it lies on. */
function when(event) {
  if (event.start_time) return placeText(Date.parse(event.start_time) / 1000, true);
  return mediaText(event.start_s);
}

/** The address of an event's moment. */
function href(event) {
  return event.start_time
    ? hash({ source: event.source_id, axis: "wall", place: Date.parse(event.start_time) / 1000 })
    : hash({ source: event.source_id, axis: "media", place: event.start_s });
}

function jump(event) {
  return (click) => {
    if (click.ctrlKey || click.metaKey || click.shiftKey || click.button !== 0) return; // a new tab, as links do
    click.preventDefault();
    choose({ source: event.source_id, event, jump: true, announced: true });
  };
}

function row(event) {
  return h("a", { class: "row", href: href(event), onclick: jump(event) },
    h("time", { text: when(event), title: event.start_time ? isoText(Date.parse(event.start_time) / 1000) : "" }),
    h("span", { class: "row-source", text: event.source_id }),
    h("span", { class: "kind", text: name("kind", event.kind) }),
    h("span", { class: "what", dir: "auto", text: event.description || event.visible_text }));
}

/** An answer: each sentence with what it rests on; what was not looked at; how it was read. */
export function answered(text, found) {
  const byEvent = new Map(found.events.map((event, i) => [event.event_id, { event, number: i + 1 }]));
  head("ask", null);
  const cite = (id) => {
    const known = byEvent.get(id);
    if (!known) return null;
    return h("a", { class: "cite", href: href(known.event), onclick: jump(known.event), title: known.event.description,
      "aria-label": t("citation_says", { n: known.number, source: known.event.source_id, when: when(known.event) }) },
    when(known.event));
  };
  fill(byId("panel-found"), title(text),
    h("div", { class: "answer" },
      found.answer.length ? found.answer.map((sentence) => h("p", { class: "sentence", dir: "auto" }, sentence.text, " ", sentence.event_ids.map(cite)))
        : h("p", { class: "quiet-note", text: t("no_answer") }),
      h("p", { class: "how" }, h("span", { class: `mode ${found.mode}`, text: t(found.mode === "model" ? "by_model" : "by_extract") }),
        found.mode !== "model" && found.reason ? h("span", { dir: "auto", text: found.reason }) : null,
        found.removed ? h("span", { text: t("removed", { n: count(found.removed) }) }) : null),
      looked(found.coverage),
      found.interpretation?.text ? h("p", { class: "fine", dir: "auto", text: found.interpretation.text }) : null),
    found.events.length && found.mode === "model" ? [h("h3", { class: "rests", text: t("rests_on") }), h("ol", { class: "hits" }, found.events.map((event) => h("li", null, row(event))))] : null);
  announce(found.answer.map((sentence) => sentence.text).join(" ") || t("no_answer"));
}

/** What of the asked time was not looked at, as far as the answer says. */
function looked(coverage) {
  if (!coverage || typeof coverage !== "object") return null;
  const everywhere = coverage.sources ?? [{ source_id: "", gaps: coverage.gaps ?? [] }];
  const all = everywhere.flatMap((one) => (one.gaps ?? []).map((gap) => ({ ...gap, source_id: one.source_id })));
  const told = typeof coverage.covered_share === "number"
    ? coverage.covered_share >= 0.9999 ? t("all_looked") : t("share_looked", { share: share(coverage.covered_share) }) : "";
  const gaps = all.slice(0, MOST_GAPS).map((gap) => {
    const isWall = Boolean(gap.start_time);
    const from = isWall ? Date.parse(gap.start_time) / 1000 : gap.start_s;
    const to = gap.end_time ? Date.parse(gap.end_time) / 1000 : gap.end_s;
    const range = `${typeof from === "number" ? placeText(from, isWall) : "…"} – ${typeof to === "number" ? placeText(to, isWall, from ?? null) : "…"}`;
    return h("li", { dir: "auto" }, h("span", { class: `sample fate-${gap.outcome}`, "aria-hidden": "true" }),
      h("span", { text: [gap.source_id, range === "… – …" ? "" : range, gap.reason || name("outcome_says", gap.outcome)].filter(Boolean).join(" · ") }));
  });
  if (!told && !gaps.length) return null;
  return h("div", { class: "coverage" }, h("p", { text: told }), gaps.length ? h("ul", { class: "gaps" }, gaps) : null,
    all.length > MOST_GAPS ? h("p", { text: t("more_gaps", { n: count(all.length - MOST_GAPS) }) }) : null);
}
