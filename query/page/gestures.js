// Turns wheel, pinch, drag and hover over the lanes into a view; a press that does not move picks.

import { byId, h } from "./dom.js";
import { pick, track, under } from "./lanes.js";
import { name, t } from "./say.js";
import { set, show, state, wall, zoom } from "./store.js";
import { exactText, placeText } from "./times.js";

const STILL_PX = 5;   // a press that moves less is a click
const fingers = new Map();
let from = null;      // the view and the pointers when the drag or pinch began

export function begin() {
  const area = byId("timeline");
  for (const part of [byId("lanes"), byId("ruler")]) {
    part.addEventListener("pointerdown", down);
    part.addEventListener("pointermove", move);
    part.addEventListener("pointerup", up);
    part.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); from = null; });
  }
  area.addEventListener("wheel", wheel, { passive: false });
  area.addEventListener("pointerleave", () => hint(null));
}

const at = (clientX) => {
  const box = track();
  return state.view.start + ((clientX - box.left) / box.width) * (state.view.end - state.view.start);
};

function wheel(event) {
  const box = track();
  if (event.clientX < box.left || !event.target.closest(".lanes, .ruler")) return;
  const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
  const scrolls = byId("lanes").scrollHeight > byId("lanes").clientHeight + 2;
  if (!sideways && !event.ctrlKey && scrolls && !event.altKey && event.target.closest(".lane-name")) return;
  event.preventDefault();
  set({ live: false });
  const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
  if (sideways) {
    const by = ((event.deltaX || event.deltaY) * unit * (state.view.end - state.view.start)) / box.width;
    show(state.view.start + by, state.view.end + by);
  } else {
    zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY * unit)) * (event.ctrlKey ? 0.008 : 0.0022)), at(event.clientX));
  }
}

function down(event) {
  if (event.button !== 0 || event.target.closest(".lane-name")) return;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  grip(event.pointerType === "mouse");
}

function grip(mouse) {
  from = { view: { ...state.view }, fingers: new Map([...fingers].map(([id, one]) => [id, { ...one }])), moved: from?.moved && fingers.size > 1, mouse };
}

function move(event) {
  const finger = fingers.get(event.pointerId);
  if (!finger) return hint(event);
  finger.x = event.clientX;
  finger.y = event.clientY;
  if (!from) return;
  const box = track();
  const length = from.view.end - from.view.start;
  const ids = [...fingers.keys()];
  if (ids.length >= 2) {
    from.moved = true;
    const [a0, b0] = ids.map((id) => from.fingers.get(id)?.x ?? fingers.get(id).x);
    const [a1, b1] = ids.map((id) => fingers.get(id).x);
    const wide = Math.max(Math.abs(b1 - a1), 8) / Math.max(Math.abs(b0 - a0), 8);
    const middle = from.view.start + (((a0 + b0) / 2 - box.left) / box.width) * length;
    const start = middle - (((a1 + b1) / 2 - box.left) / box.width) * (length / wide);
    set({ live: false });
    show(start, start + length / wide);
    return;
  }
  const start = from.fingers.get(event.pointerId);
  if (!start) return;
  const dx = event.clientX - start.x;
  if (!from.moved && Math.abs(dx) < STILL_PX) return;
  if (!from.moved) {
    from.moved = true;
    event.currentTarget.setPointerCapture(event.pointerId);
    byId("timeline").classList.add("dragging");
  }
  hint(null);
  set({ live: false });
  const by = (dx / box.width) * length;
  show(from.view.start - by, from.view.end - by);
}

function up(event) {
  const finger = fingers.get(event.pointerId);
  fingers.delete(event.pointerId);
  byId("timeline").classList.remove("dragging");
  const began = from?.fingers.get(event.pointerId);
  const still = finger && began && Math.abs(event.clientY - began.y) < 2 * STILL_PX;
  if (still && from && !from.moved && !fingers.size) pick(event.clientX, event.clientY);
  if (fingers.size) grip(from?.mouse);
  else from = null;
}

let shown = null;

/** Shows the time under the mouse, in the viewer's zone and exactly, and the event there. */
function hint(event) {
  const there = event && event.pointerType === "mouse" ? under(event.clientX, event.clientY) : null;
  if (!there) {
    shown?.remove();
    shown = null;
    return;
  }
  if (!shown) {
    shown = h("div", { class: "hint", "aria-hidden": "true" }, h("b"), h("span", { class: "hint-exact" }), h("span", { class: "hint-what" }));
    document.body.append(shown);
  }
  const [time, exact, what] = shown.children;
  time.textContent = placeText(there.at, wall());
  exact.textContent = wall() ? exactText(Math.round(there.at), true) : "";
  what.textContent = there.event ? `${name("kind", there.event.kind)} · ${there.event.description}`.slice(0, 160)
    : there.fine ? "" : t("click_to_ask");
  const wide = shown.offsetWidth;
  const left = Math.min(Math.max(8, event.clientX - wide / 2), window.innerWidth - wide - 8);
  shown.style.transform = `translate(${left}px, ${Math.max(8, event.clientY - shown.offsetHeight - 14)}px)`;
}
