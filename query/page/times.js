// Writes times for people: clock times in the viewer's zone, media times as players do; and where a ruler has marks.

import { language } from "./say.js";

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

const formats = new Map();

/** A date format of the chosen language, made once. */
function format(options) {
  const key = language() + JSON.stringify(options);
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat(language() === "zh" ? "zh-CN" : "en-GB", { hourCycle: "h23", ...options }));
  }
  return formats.get(key);
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const SECONDS = { ...CLOCK, second: "2-digit" };
const DAY = { day: "numeric", month: "short" };

export const dayText = (s) => format({ ...DAY, weekday: "short", year: "numeric" }).format(s * 1000);
export const dayShort = (s) => format(DAY).format(s * 1000);
export const clockText = (s) => format(SECONDS).format(s * 1000);

/** The name of the viewer's zone, such as "Europe/Berlin (GMT+1)". */
export function zoneText(s = Date.now() / 1000) {
  const parts = format({ timeZoneName: "shortOffset" }).formatToParts(s * 1000);
  const offset = parts.find((part) => part.type === "timeZoneName")?.value ?? "";
  return offset && offset !== zone ? `${zone} (${offset})` : zone;
}

/** An instant as ISO 8601 in UTC, to the millisecond where it has any. */
export function isoText(s) {
  if (!(Math.abs(s) < 8.64e12)) return "";
  return new Date(Math.round(s * 1000)).toISOString().replace(".000Z", "Z");
}

/** An offset the way players write it: 00:45, 00:45.5, 1:02:03. */
export function mediaText(s, decimals = 1) {
  const scale = 10 ** decimals;
  const units = Math.round(Math.abs(s) * scale);
  const fraction = units % scale;
  const seconds = Math.floor(units / scale);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const head = hours ? `${hours}:${two(Math.floor(seconds / 60) % 60)}` : two(Math.floor(seconds / 60));
  const tail = fraction ? `.${String(fraction).padStart(decimals, "0")}`.replace(/0+$/, "") : "";
  return `${s < 0 && units ? "−" : ""}${head}:${two(seconds % 60)}${tail}`;
}

/** A place on an axis, short: of the wall clock its day only when it is another than `beside`'s. */
export function placeText(s, isWall, beside = null) {
  if (!isWall) return mediaText(s);
  const other = beside === null || dayShort(s) !== dayShort(beside);
  return other ? `${dayShort(s)} ${clockText(s)}` : clockText(s);
}

/** A place on an axis with nothing left out, for tooltips: UTC on the wall clock. */
export function exactText(s, isWall) {
  return isWall ? isoText(s) : `${mediaText(s, 3)} (${Math.round(s * 1000) / 1000} s)`;
}

/** A range in one line. */
export function rangeText(start, end, isWall) {
  if (!isWall) return `${mediaText(Math.max(start, 0), 0)} – ${mediaText(end, 0)}`;
  const close = end - start < 600;
  const clock = (s) => format(close ? SECONDS : CLOCK).format(s * 1000);
  if (dayText(start) === dayText(end)) return `${dayText(start)}, ${clock(start)} – ${clock(end)}`;
  if (end - start > 10 * 86400) return `${dayText(start)} – ${dayText(end)}`;
  return `${dayShort(start)} ${clock(start)} – ${dayText(end)} ${clock(end)}`;
}

/** A length of time in the largest units that fit. */
export function lengthText(s) {
  if (s < 60) return `${Math.round(s * 10) / 10} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 >= 1 ? ` ${Math.round(s % 60)} s` : ""}`;
  if (s < 172800) return `${Math.floor(s / 3600)} h${s % 3600 >= 60 ? ` ${Math.round((s % 3600) / 60)} min` : ""}`;
  return `${Math.round(s / 8640) / 10} d`;
}

const STEPS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
  3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000,
];

/** Marks of a ruler: [{at, text, major}], at least `gap` pixels apart; whole hours and days of the viewer's zone. */
export function marks(start, end, width, isWall, gap) {
  const per = (end - start) / Math.max(width, 1);
  const step = STEPS.find((one) => one / per >= gap) ?? STEPS.at(-1) * Math.ceil((gap * per) / STEPS.at(-1));
  const found = [];
  for (const at of isWall && step >= 3600 ? hours(start, end, step) : even(start, end, step, isWall)) {
    const midnight = isWall && clockText(at) === "00:00:00";
    const text = !isWall ? mediaText(at) : midnight ? dayShort(at) : step < 60 ? clockText(at) : format(CLOCK).format(at * 1000);
    found.push({ at, text, major: midnight || (!isWall && at % 60 === 0 && step < 60) });
  }
  return found;
}

function* even(start, end, step, isWall) {
  const shift = isWall ? new Date(start * 1000).getTimezoneOffset() * 60 : 0;
  for (let n = Math.ceil((start - shift) / step); n * step + shift <= end; n += 1) yield n * step + shift;
}

function* hours(start, end, step) {
  const day = new Date(start * 1000);
  const date = new Date(day.getFullYear(), day.getMonth(), day.getDate());
  const whole = step >= 86400;
  if (whole) { // multiples counted from a fixed day, so that marks stay where they are while one pans
    const days = step / 86400;
    const number = Math.floor((date.getTime() - date.getTimezoneOffset() * 60000) / 86400000);
    date.setDate(date.getDate() - (((number % days) + days) % days));
  }
  for (let guard = 0; guard < 2000 && date.getTime() / 1000 <= end; guard += 1) {
    const at = date.getTime() / 1000;
    if (at >= start) yield at;
    if (whole) date.setDate(date.getDate() + step / 86400);
    else date.setHours(date.getHours() + step / 3600);
  }
}
