// Puts the page together: builds its parts, asks for the first timeline, and connects what the person does.

import * as answers from "./answers.js";
import { begin as beginSession, onTokenWanted, token } from "./api.js";
import * as box from "./box.js";
import * as data from "./data.js";
import * as detail from "./detail.js";
import { announce, byId, h, fill } from "./dom.js";
import { newTheme } from "./fates.js";
import * as gestures from "./gestures.js";
import * as keys from "./keys.js";
import * as lanes from "./lanes.js";
import * as links from "./links.js";
import * as list from "./list.js";
import { choose, onAxis } from "./moment.js";
import * as player from "./player.js";
import { language, sayAll, setLanguage, t } from "./say.js";
import { stepInLane } from "./step.js";
import { fit, on, pan, place, reveal, set, state, wall, zoom } from "./store.js";
import * as tail from "./tail.js";

let redrawLanes = () => {};
let relist = () => {};
let wide = null; // the view of each axis, for when one comes back to it

/** Shows an axis; all there is on it, or what was shown last. */
function useAxis(axis) {
  if (axis === state.axis && wide) return;
  wide ??= {};
  wide[state.axis] = state.view;
  set({ axis, near: null, exact: null, live: false, source: null, kinds: new Set(), order: axis === "wall" ? "desc" : "asc" });
  if (wide[axis]) set({ view: wide[axis] });
  else fit();
  showAxis();
}

function showAxis() {
  for (const button of document.querySelectorAll("[data-axis]")) {
    const chosen = button.dataset.axis === state.axis;
    button.setAttribute("aria-checked", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
  }
  byId("now").hidden = byId("live").hidden = !wall();
  document.body.dataset.shows = state.axis;
}

/** Goes to the event before or after the chosen moment. */
async function step(way) {
  const source = state.selected?.source ?? lanes.focusedSource();
  if (!source) return;
  const found = await stepInLane(source, state.selected ? way : way === "after" ? "first" : "last");
  if (!found) {
    announce(t(way === "before" ? "nothing_before" : "nothing_after"));
    return;
  }
  const there = place(found);
  choose({ source, event: found, announced: true });
  if (there.start < state.view.start || there.start > state.view.end) reveal(there.start, there.end);
}

/** Opens the moment that the address names. */
async function follow() {
  const wanted = links.parse(window.location.hash);
  if (!wanted) return;
  const same = state.selected && links.hash(state.selected) === window.location.hash;
  if (same) return;
  try {
    await choose({ ...wanted, jump: true, play: false });
  } catch (problem) {
    notice(problem.message || t("service_lost"), true);
  }
}

const problems = { data: "", tail: "", link: "" };

function notice(text, link = false) {
  problems[link ? "link" : "data"] = text;
  drawNotice();
}

function drawNotice() {
  const said = problems.data || problems.tail || problems.link;
  const holder = byId("notice");
  holder.hidden = !said;
  const dismiss = () => { problems.data = problems.link = ""; drawNotice(); };
  if (holder.dataset.said === said) return;
  holder.dataset.said = said;
  fill(holder, h("span", { dir: "auto", text: said }), h("button", { type: "button", class: "tool wide", onclick: dismiss, text: t("close") }));
}

function onProblem(problem) {
  if (problem?.status === 401) notice(t("no_token"));
  else notice(problem ? problem.message || t("service_lost") : "");
}

function theme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("sightlog-theme", document.documentElement.dataset.theme); } catch { /* for this visit */ }
  themed();
}

function themed() {
  newTheme();
  redrawLanes();
}

function languageChanged() {
  setLanguage(language() === "zh" ? "en" : "zh");
  spoken();
  detail.again();
  box.again();
  relist();
  newTheme();
  set({ whole: { ...state.whole } });
}

function spoken() {
  byId("language").textContent = language() === "zh" ? "EN" : "中文";
  byId("language").lang = language() === "zh" ? "en" : "zh";
  document.title = state.selected ? `${state.selected.source} · sightlog` : "sightlog";
}

function wire() {
  const click = (id, work) => byId(id).addEventListener("click", work);
  click("earlier", () => { set({ live: false }); pan(-0.4); });
  click("later", () => { set({ live: false }); pan(0.4); });
  click("zoom-in", () => zoom(0.5));
  click("zoom-out", () => zoom(2));
  click("fit", () => { set({ live: false }); fit(); });
  click("now", () => tail.now());
  click("theme", theme);
  click("language", languageChanged);
  click("help", keys.help);
  for (const button of document.querySelectorAll("[data-axis]")) {
    button.addEventListener("click", () => useAxis(button.dataset.axis));
    button.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault();
      useAxis(wall() ? "media" : "wall");
      document.querySelector(`[data-axis=${state.axis}]`).focus();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);
  on("live", () => byId("live").setAttribute("aria-checked", String(state.live)));
  on("selected", spoken);
  on("whole", () => { // the first source of a log that was empty
    const other = wall() ? "media" : "wall";
    if (wide && state.whole[state.axis]?.lanes.length === 0 && state.whole[other]?.lanes.length) useAxis(other);
  });
  window.addEventListener("hashchange", follow);
  keys.begin({
    j: () => step("after"), k: () => step("before"),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "−": () => zoom(2),
    ArrowLeft: () => { set({ live: false }); pan(-0.15); }, ArrowRight: () => { set({ live: false }); pan(0.15); },
    "Shift+ArrowLeft": () => { set({ live: false }); pan(-0.8); }, "Shift+ArrowRight": () => { set({ live: false }); pan(0.8); },
    f: () => fit(), n: () => tail.now(), l: () => { if (wall()) tail.live(!state.live); },
    "/": () => box.use("search"), a: () => box.use("ask"), t: () => box.use("time"),
    " ": () => player.toggle(), ",": () => player.nudge(-1), ".": () => player.nudge(1),
    c: () => { if (state.selected) document.querySelector(".detail-head .tool")?.click(); },
    Escape: () => { if (byId("dialog").open) return false; if (state.selected) detail.shut(); else return false; return true; },
    "?": keys.help,
  });
}

async function start() {
  sayAll();
  spoken();
  onTokenWanted(keys.askForToken);
  data.onProblem(onProblem);
  onAxis(useAxis);
  wire();
  answers.begin();
  const wanted = links.parse(window.location.hash);
  try {
    await data.begin(wanted !== null);
  } catch (problem) {
    onProblem(problem);
  }
  const axis = wanted ? links.axisOf(wanted) : state.whole.wall?.lanes.length ? "wall" : "media";
  set({ axis, order: axis === "wall" ? "desc" : "asc" });
  wide = {};
  fit();
  showAxis();
  redrawLanes = lanes.begin(choose);
  performance.mark("sightlog-lanes");
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("sightlog-painted")));
  gestures.begin();
  detail.begin(step);
  relist = list.begin(choose);
  box.begin();
  tail.begin((gone) => { problems.tail = gone ? t("service_lost") : ""; drawNotice(); });
  data.later();
  document.documentElement.dataset.ready = "yes";
  if (token() !== null) beginSession().then(tail.again);
  await follow();
}

start();
