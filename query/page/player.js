// Plays the second: a video from the service, pictures where the browser cannot play it, a sentence when it is gone.

import { address, get } from "./api.js";
import { fill, h } from "./dom.js";
import { set } from "./store.js";
import { t } from "./say.js";
import { mediaText } from "./times.js";

const BEFORE_S = 2;   // what led up to it
const AFTER_S = 13;
const NEXT_S = 30;    // how much more is fetched when the clip ends

let run = 0;
let video = null;

/** Shows the moment in `holder`. `moment` is {source, session, media_s, place, end_s}. */
export async function show(holder, moment, { autoplay = false } = {}) {
  const mine = ++run;
  stop();
  set({ playhead: null });
  if (moment.session === null || moment.media_s === null) {
    gone(holder, t("no_recording_here"));
    return;
  }
  waiting(holder);
  let clip;
  try {
    clip = await ask(moment, moment.media_s - BEFORE_S, Math.max(moment.media_s + AFTER_S, Math.min(moment.end_s ?? 0, moment.media_s + 60)));
  } catch (problem) {
    if (mine === run) picture(holder, moment, problem.message || t("media_problem"));
    return;
  }
  if (mine !== run) return;
  if (!clip.url) {
    if (clip.thumbnails?.length) picture(holder, moment, clip.reason, clip.thumbnails);
    else gone(holder, clip.reason || t("media_gone"));
    return;
  }
  play(holder, moment, clip, mine, autoplay);
}

const ask = (moment, start_s, end_s) => get("/v1/playback", {
  source: moment.source, session: moment.session, start_s: Math.max(0, round(start_s)), end_s: round(end_s),
});

const round = (s) => Math.round(s * 1000) / 1000;

function play(holder, moment, clip, mine, autoplay) {
  const label = t("video_of", { source: moment.source, when: mediaText(moment.media_s) });
  video = h("video", { controls: true, playsinline: true, preload: "auto", "aria-label": label, poster: thumbnail(moment) });
  // Encoded anew where this browser does not know what the recording is in: that takes the service a while.
  const known = !clip.fallback_url || (clip.mime && video.canPlayType(clip.mime) !== "");
  let fallback = known ? clip.fallback_url : null;
  video.src = known ? clip.url : clip.fallback_url;
  video.muted = true; // nothing starts to sound by itself; the controls unmute it
  const shown = h("span", { class: "player-time", "aria-hidden": "true" });
  const note = clip.reason ? h("p", { class: "player-note", text: clip.reason }) : null;
  fill(holder, h("div", { class: "screen" }, video, shown), note);
  let wanted = Math.max(0, moment.media_s - clip.start_s);
  let now = clip;
  const mineStill = () => mine === run;
  video.addEventListener("loadedmetadata", () => {
    if (!mineStill()) return;
    video.currentTime = wanted;
    if (autoplay) video.play().catch(() => {}); // a browser may want a gesture first: then it waits, at the second
  });
  const tick = () => {
    if (!mineStill() || !video) return;
    const media = now.start_s + video.currentTime;
    shown.textContent = mediaText(media, 1);
    set({ playhead: moment.place + (media - moment.media_s) });
  };
  video.addEventListener("timeupdate", tick);
  video.addEventListener("seeked", tick);
  video.addEventListener("ended", async () => {
    if (!mineStill()) return;
    try {
      const next = await ask(moment, now.end_s, now.end_s + NEXT_S);
      if (!mineStill() || !next.url || next.end_s <= now.end_s + 0.2) return;
      wanted = Math.max(0, now.end_s - next.start_s);
      now = next;
      autoplay = true;
      fallback = known ? next.fallback_url : null;
      video.src = known ? next.url : next.fallback_url ?? next.url;
    } catch { /* the end of what there is */ }
  });
  video.addEventListener("error", () => {
    if (!mineStill()) return;
    if (fallback) {
      video.src = fallback;
      fallback = null;
    } else picture(holder, moment, t("cannot_play"), clip.thumbnails);
  });
}

const thumbnail = (moment) => address("/v1/thumbnails", { source: moment.source, session: moment.session, time_s: round(moment.media_s) });

/** Shows a picture of the second with why it does not move, and further pictures around it. */
function picture(holder, moment, why, more = []) {
  stop();
  const image = h("img", { alt: t("picture_of", { source: moment.source, when: mediaText(moment.media_s) }), src: thumbnail(moment) });
  image.addEventListener("error", () => gone(holder, why || t("media_gone")));
  const strip = more.slice(0, 8).map((one) => {
    const url = typeof one === "string" ? one : one.url;
    const button = h("button", { type: "button", class: "still", onclick: () => { image.src = url; } }, h("img", { src: url, alt: "", loading: "lazy" }));
    if (one.time_s !== undefined) button.title = mediaText(one.time_s);
    return button;
  });
  fill(holder, h("div", { class: "screen" }, image), why ? h("p", { class: "player-note", text: why }) : null,
    strip.length > 1 ? h("div", { class: "stills" }, strip) : null);
}

function gone(holder, why) {
  stop();
  fill(holder, h("div", { class: "screen none" }, h("p", { text: why })));
}

function waiting(holder) {
  fill(holder, h("div", { class: "screen none", "aria-busy": "true" }, h("p", { class: "waiting", text: t("loading") })));
}

/** Stops what plays and lets go of it. */
export function stop() {
  if (!video) return;
  video.pause();
  video.removeAttribute("src");
  video.load();
  video = null;
}

/** Plays or pauses; whether there is anything to play. */
export function toggle() {
  if (!video) return false;
  if (video.paused) video.play().catch(() => {});
  else video.pause();
  return true;
}

/** Moves the player by seconds. */
export function nudge(by_s) {
  if (video) video.currentTime = Math.max(0, video.currentTime + by_s);
}
