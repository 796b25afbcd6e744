// Follows the log: new events appear as they are committed; says when the service is lost and when it is back.

import { grown, indexed } from "./data.js";
import { announce, byId } from "./dom.js";
import { name, t } from "./say.js";
import { laneOf, place, set, show, state, wall } from "./store.js";

const TICK_MS = 1000;
const AGAIN_MS = 5000;
const QUIET_MS = 3000;  // how often new events are spoken of at most
const LAG = 0.06;       // where now is while one follows it: this share before the right edge

let source = null;
let retry = 0;
let spokenMs = 0;
let fresh = 0;
let lostMs = 0;
let lost = () => {};

/** Follows the tail for as long as the page is open; `onLost` is told true when the service is gone, then false. */
export function begin(onLost) {
  lost = onLost;
  connect();
  setInterval(follow, TICK_MS);
  byId("live").addEventListener("click", () => live(!state.live));
}

function connect() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource("/v1/tail"); // reconnects by itself, with Last-Event-ID
  source.addEventListener("open", () => { if (lostMs) grown(); lostMs = 0; lost(false); status("on"); });
  source.addEventListener("error", () => {
    status("off");
    lostMs ||= Date.now();
    const refused = source.readyState === EventSource.CLOSED; // answered, but not with a tail
    lost(!refused);
    if (refused) retry = setTimeout(connect, AGAIN_MS);
  });
  source.addEventListener("event", (message) => take(JSON.parse(message.data), true));
  source.addEventListener("update", (message) => take(JSON.parse(message.data), false));
  source.addEventListener("coverage", () => grown());
}

/** Follows again, now that there is a cookie. */
export function again() {
  if (source && source.readyState !== EventSource.OPEN) connect();
}

function status(what) {
  document.documentElement.dataset.tail = what;
}

/** Shows an event at once, before the counts are made anew: a new one, or one that goes on. */
function take(event, isNew) {
  grown();
  const { exact } = state;
  const there = laneOf(event.source_id) ? place(event) : null;
  if (exact && there && exact.axis === state.axis && there.start < Math.max(exact.end, state.view.end)) {
    const gone = new Set([event.event_id, ...(event.formerly ?? [])]);
    const rest = exact.events.filter((one) => !gone.has(one.event_id));
    set({ exact: indexed({ ...exact, events: [...rest, event] }) });
  }
  if (!isNew) return;
  fresh += 1;
  if (Date.now() - spokenMs < QUIET_MS) return;
  spokenMs = Date.now();
  announce(fresh > 1 ? t("new_events", { n: fresh }) : t("new_event", { source: event.source_id, kind: name("kind", event.kind), what: event.description }));
  fresh = 0;
}

/** Follows now, or stops to. */
export function live(wanted) {
  set({ live: wanted });
  if (wanted) {
    const length = Math.min(state.view.end - state.view.start, 3600);
    now(length);
  }
}

/** Brings now to the right edge of the view, which is `length` seconds long. */
export function now(length = state.view.end - state.view.start) {
  const end = wall() ? Date.now() / 1000 : state.whole.media?.end_s ?? 0;
  show(end - length * (1 - LAG), end + length * LAG);
}

function follow() {
  if (state.live && wall() && !document.hidden) now();
}
