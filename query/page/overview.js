// Shows what the log holds while no moment is chosen: how much was seen, what the shading means, where to begin.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { lookedShare } from "./fates.js";
import { countText } from "./known.js";
import { choose } from "./moment.js";
import { count, name, share, t } from "./say.js";
import { lanes, reveal, state, wall, whole } from "./store.js";
import { lengthText, placeText } from "./times.js";

const SHOWN = 6;
let gaps = null;   // of the source that is shown: {source, list}
let asked = null;

/** Draws the overview into `holder`. */
export function draw(holder) {
  const shown = lanes();
  if (!whole()) { // nothing is known yet: not even that there is nothing
    fill(holder);
    return;
  }
  if (!shown.length) {
    fill(holder, h("div", { class: "overview" }, empty()));
    return;
  }
  const one = state.source !== null ? shown.find((lane) => lane.source_id === state.source) : shown.length === 1 ? shown[0] : null;
  fill(holder, h("div", { class: "overview" },
    h("h2", { text: one ? one.source_id : t("overview") }),
    figures(one ? [one] : shown),
    h("h3", { text: t("shading") }),
    legend(),
    one ? notSeen(one, holder) : null,
    h("h3", { text: t("first_steps") }),
    h("ul", { class: "tips" }, ["tip_pick", "tip_move", "tip_ask", "tip_keys"].map((key) => h("li", { text: t(key) })))));
}

function figures(shown) {
  const events = shown.reduce((sum, lane) => sum + lane.events.reduce((a, n) => a + n, 0), 0);
  const length = shown.reduce((sum, lane) => sum + lane.end_s - lane.start_s, 0);
  const looked = shown.reduce((sum, lane) => sum + lookedShare(whole(), lane) * (lane.end_s - lane.start_s), 0) / (length || 1);
  const pairs = [
    shown.length > 1 ? [count(shown.length), t("sources")] : null,
    [count(events), t("events")],
    [countText(shown.length === 1 ? shown[0].source_id : null), t("in_view")],
    [share(looked), t("looked_at")],
  ].filter(Boolean);
  return h("dl", { class: "figures" }, pairs.map(([value, label]) => h("div", null, h("dt", { text: label }), h("dd", { text: value }))));
}

/** The legend of the lanes' shading. */
export function legend() {
  return h("ul", { class: "legend" }, ["ok", "quiet", "dropped", "offline", "failed", "none"].map((fate) =>
    h("li", null, h("span", { class: `sample fate-${fate}`, "aria-hidden": "true" }), h("span", { text: t(`fate_${fate}`) }))));
}

/** What was not seen of a source, newest first, with the reasons. */
function notSeen(lane, holder) {
  const source = lane.source_id;
  if (gaps?.source !== source) {
    if (asked !== source) {
      asked = source;
      get("/v1/coverage", { source }).then((report) => {
        gaps = { source, list: report.gaps };
        if (!state.selected) draw(holder);
      }, () => { asked = null; });
    }
    return null;
  }
  if (!gaps.list.length) return [h("h3", { text: t("not_seen") }), h("p", { class: "quiet-note", text: t("all_seen") })];
  const isWall = wall();
  const mine = gaps.list.filter((gap) => (isWall ? gap.start_time !== null : gap.start_s !== null)).slice(-SHOWN).reverse();
  return [h("h3", { text: t("not_seen") }), h("ul", { class: "mini" }, mine.map((gap) => {
    const from = isWall ? Date.parse(gap.start_time) / 1000 : gap.start_s;
    const to = isWall ? (gap.end_time ? Date.parse(gap.end_time) / 1000 : null) : gap.end_s;
    return h("li", null, h("button", { type: "button", onclick: () => { reveal(from, to ?? from); choose({ source, at: from, announced: true }); } },
      h("time", { text: placeText(from, isWall) }), h("span", { class: `sample fate-${gap.outcome}`, "aria-hidden": "true" }),
      h("span", { class: "what", dir: "auto", text: [to === null ? "" : lengthText(to - from), gap.reason || name("outcome_says", gap.outcome)].filter(Boolean).join(" · ") })));
  }))];
}

function empty() {
  const other = state.whole[wall() ? "media" : "wall"]?.lanes.length;
  return [
    h("h2", { text: t("empty_title") }),
    h("p", { text: t(other ? (wall() ? "empty_wall" : "empty_media") : "empty_log") }),
    other ? null : h("pre", { text: "sightlog index video.mp4\nsightlog watch rtsp://camera/1" }),
  ];
}
