// Runs before the first paint: the chosen theme and language, and the first question to the service.
(() => {
  const root = document.documentElement;
  const kept = (store, key) => { try { return window[store].getItem(key); } catch { return null; } };
  const theme = kept("localStorage", "sightlog-theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const language = kept("localStorage", "sightlog-language") || navigator.language || "en";
  root.lang = language.toLowerCase().startsWith("zh") ? "zh" : "en";
  performance.mark("sightlog-start");

  // Asked here and not in a module: the answer is on its way while the modules load, which are told to wait
  // for it (fetchpriority): a browser asks six questions at a time, and there are two dozen modules.
  const token = kept("sessionStorage", "sightlog-token");
  const buckets = Math.min(600, Math.max(120, Math.round(window.innerWidth / 3)));
  const ask = (axis) => fetch(`/v1/timeline?axis=${axis}&buckets=${buckets}`, {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  }).catch(() => null);
  const wall = ask("wall"); // what most logs show first; a link may lead to either axis
  window.sightlogEarly = { wall, media: location.hash ? ask("media") : wall.then(() => ask("media")) };
})();
