// The box: search for words, ask a question, or go to a time; the answer opens beside the list.

import { get, post, Problem, token } from "./api.js";
import * as answers from "./answers.js";
import { byId, fill, h } from "./dom.js";
import { focusedSource } from "./lanes.js";
import { choose } from "./moment.js";
import { t } from "./say.js";
import { on, state } from "./store.js";
import { zone } from "./times.js";

const HITS = 100;
let mode = "search";
let run = 0;

export function begin() {
  byId("box").addEventListener("submit", (event) => { event.preventDefault(); go(); });
  for (const button of byId("box").querySelectorAll("[data-mode]")) {
    button.addEventListener("click", () => use(button.dataset.mode));
    button.addEventListener("keydown", arrows);
  }
  byId("box-text").addEventListener("keydown", (event) => { if (event.key === "Escape") byId("box-text").blur(); });
  on("whole axis selected source", sources);
  again();
}

export function again() {
  use(mode, false);
  sources();
}

/** Moves between the modes with the arrow keys, as radio buttons do. */
function arrows(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  const all = [...byId("box").querySelectorAll("[data-mode]")];
  const next = all[(all.indexOf(event.currentTarget) + by + all.length) % all.length];
  use(next.dataset.mode, false);
  next.focus();
}

/** Changes what the box does. */
export function use(wanted, focus = true) {
  mode = wanted;
  for (const button of byId("box").querySelectorAll("[data-mode]")) {
    const on_ = button.dataset.mode === mode;
    button.setAttribute("aria-checked", String(on_));
    button.tabIndex = on_ ? 0 : -1;
  }
  const input = byId("box-text");
  input.placeholder = t(`${mode}_hint`);
  input.setAttribute("aria-label", t(`${mode}_label`));
  byId("box").dataset.mode = mode;
  byId("box-source").hidden = mode !== "time";
  if (focus) {
    input.focus();
    input.select();
  }
}

/** The sources to choose from for a time; the one that is looked at is chosen. */
function sources() {
  const select = byId("box-source");
  const ids = [...new Set(["wall", "media"].flatMap((axis) => state.whole[axis]?.lanes.map((lane) => lane.source_id) ?? []))];
  const wanted = state.selected?.source ?? focusedSource();
  if (select.dataset.ids !== ids.join("\n")) {
    select.dataset.ids = ids.join("\n");
    fill(select, ids.map((id) => h("option", { value: id, text: id })));
  }
  if (wanted && ids.includes(wanted) && document.activeElement !== select) select.value = wanted;
}

async function go() {
  const text = byId("box-text").value.trim();
  if (!text) return;
  const mine = ++run;
  if (matchMedia("(pointer: coarse)").matches) byId("box-text").blur(); // makes room where the keyboard was
  byId("box").classList.add("busy");
  try {
    if (mode === "time") await time(text);
    else if (mode === "ask") await ask(text, mine);
    else await search(text, mine);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (mine === run) answers.problem(mode, text, problem);
  } finally {
    if (mine === run) byId("box").classList.remove("busy");
  }
}

async function time(text) {
  const source = byId("box-source").value;
  if (!source) return;
  await choose({ source, time: text, jump: true });
}

async function search(text, mine) {
  answers.waiting("search", text);
  const found = await get("/v1/search", { q: text, source: state.source, limit: HITS });
  if (mine === run) answers.hits(text, found);
}

async function ask(text, mine) {
  answers.waiting("ask", text);
  const asked = { question: text, tz: zone };
  if (state.source !== null) asked.source = state.source;
  // By cookie alone one may only GET.
  const found = token() === null ? await get("/v1/ask", { q: text, tz: zone, source: state.source }) : await post("/v1/ask", asked);
  if (mine === run) answers.answered(text, found);
}
