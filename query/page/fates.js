// Knows what became of each stretch of a lane, and what that looks like: told apart without colour too.

let colours = null;
const patterns = new Map();

/** Forgets the colours: the theme has changed. */
export function newTheme() {
  colours = null;
  patterns.clear();
}

/** The colours of the theme, as its style says. */
export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    colours = Object.fromEntries(
      ["ok", "quiet", "dropped", "offline", "failed", "event", "event-strong", "ink-2", "ink-3", "line", "panel", "accent", "selected"]
        .map((name) => [name, read(`--${name}`)]),
    );
    colours.font = style.getPropertyValue("--font").trim() || "sans-serif";
  }
  return colours;
}

/** The pattern of a fate: told apart without colour by its lines and dots. */
export function pattern(g, fate) {
  const scale = window.devicePixelRatio || 1;
  const key = `${fate}@${scale}`;
  if (!patterns.has(key)) {
    const size = 8;
    const tile = document.createElement("canvas");
    tile.width = tile.height = size * scale;
    const p = tile.getContext("2d");
    p.scale(scale, scale);
    paintTile(p, fate, size);
    const made = g.createPattern(tile, "repeat");
    made.setTransform(new DOMMatrix().scale(1 / scale));
    patterns.set(key, made);
  }
  return patterns.get(key);
}

function paintTile(p, fate, size) {
  const c = palette();
  const line = (...points) => {
    p.beginPath();
    for (let i = 0; i < points.length; i += 4) {
      p.moveTo(points[i], points[i + 1]);
      p.lineTo(points[i + 2], points[i + 3]);
    }
    p.stroke();
  };
  if (fate === "ok" || fate === "quiet" || fate === "truncated") {
    p.fillStyle = fate === "quiet" ? c.quiet : c.ok;
    p.fillRect(0, 0, size, size);
  }
  if (fate === "quiet") {
    p.fillStyle = c["ink-3"];
    p.globalAlpha = 0.55;
    p.fillRect(1.5, 3.5, 1, 1);
    p.fillRect(5.5, 7.5, 1, 1);
  } else if (fate === "dropped") {
    p.strokeStyle = c.dropped;
    p.lineWidth = 1.6;
    line(-2, 2, 2, -2, 0, 8, 8, 0, 6, 10, 10, 6);
  } else if (fate === "offline") {
    p.strokeStyle = c.offline;
    p.lineWidth = 1;
    line(0, 8, 8, 0, 0, 0, 8, 8);
  } else if (fate === "failed" || fate === "invalid") {
    p.strokeStyle = c.failed;
    p.lineWidth = 1.6;
    line(1, 0, 1, 8, 5, 0, 5, 8);
  } else if (fate === "truncated") {
    p.strokeStyle = c.dropped;
    p.lineWidth = 1;
    line(0, 7.5, 8, 7.5);
  } else if (fate === "none") {
    p.fillStyle = c["ink-3"];
    p.globalAlpha = 0.5;
    p.fillRect(0, 3.5, 3, 1);
  }
}

/** The share of a bucket that lies between the first and the last row of a lane. */
export function inside({ start_s: start, bucket_s: size }, lane, bucket) {
  const lo = Math.max(start + bucket * size, lane.start_s);
  const hi = Math.min(start + (bucket + 1) * size, lane.end_s);
  return Math.max((hi - lo) / size, 1e-6);
}

const ROUNDED = 1e-6; // shares come to six digits

/** How much of a lane was looked at, of what lies between its first and last row; 0-1. */
export function lookedShare(timeline, lane) {
  let looked = 0;
  let all = 0;
  for (let i = 0; i < lane.looked.length; i += 1) {
    const share = inside(timeline, lane, i);
    if (share <= 1e-6) continue;
    all += share;
    looked += Math.min((lane.looked[i] ?? 0) + ROUNDED, share);
  }
  return all ? looked / all : 0;
}

/** The fate of a bucket of a lane: the most telling that holds at least a fifth of it, else the greatest. */
export function fateOf(timeline, lane, bucket) {
  if (lane.looked[bucket] === null || lane.looked[bucket] === undefined) return "none";
  const whole = inside(timeline, lane, bucket);
  const looked = lane.looked[bucket] / whole;
  let fate = looked >= 0.5 ? "ok" : "none";
  let most = 0;
  for (const [outcome, shares] of Object.entries(lane.outcomes ?? {})) {
    const share = shares[bucket] / whole;
    if (share > 0.2 && share > most) {
      most = share;
      fate = outcome;
    }
  }
  return most > 0.2 && (most >= 0.5 || !["quiet", "truncated"].includes(fate)) ? fate : looked >= 0.5 ? "ok" : fate;
}
