// The keyboard: what each key does, and the help that says so.

import { fill, h, byId } from "./dom.js";
import * as overview from "./overview.js";
import { t } from "./say.js";

const typing = (target) => target.closest("input, textarea, select, [contenteditable], dialog");

/** `actions` maps a key as the event names it to what is done; shown in the help by `rows`. */
export function begin(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.key !== "Escape" && typing(event.target)) return;
    if (event.key === " " && event.target.closest("button, a, summary, video")) return;
    if (event.target.closest("video") && /^(Arrow|Home|End|m$|f$)/.test(event.key)) return;
    if (event.target.closest("[role=radiogroup], [role=tablist]") && event.key.startsWith("Arrow")) return;
    const action = actions[event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key];
    if (!action) return;
    if (action(event) !== false) event.preventDefault();
  });
}

const ROWS = [
  [["j", "k"], "help_step"], [["←", "→"], "help_pan"], [["+", "−"], "help_zoom"], [["f"], "help_fit"], [["n"], "help_now"],
  [["l"], "help_live"], [["/"], "help_search"], [["a"], "help_ask"], [["t"], "help_time"], [["Space"], "help_play"],
  [[",", "."], "help_nudge"], [["c"], "help_copy"], [["Esc"], "help_close"], [["?"], "help_help"],
];

/** Opens the help. */
export function help() {
  const dialog = byId("dialog");
  const close = () => dialog.close();
  dialog.setAttribute("aria-labelledby", "help-title");
  fill(dialog,
    h("div", { class: "dialog-head" }, h("h2", { id: "help-title", text: t("help") }), h("button", { type: "button", class: "tool wide", onclick: close, text: t("close") })),
    h("div", { class: "help-body" },
      h("table", null, h("tbody", null, ROWS.map(([keys, says]) =>
        h("tr", null, h("th", { scope: "row" }, keys.map((key) => h("kbd", { text: key }))), h("td", { text: t(says) }))))),
      h("div", null, h("h3", { text: t("help_lanes_title") }), h("p", { text: t("help_lanes") }),
        h("h3", { text: t("shading") }), overview.legend())));
  if (!dialog.open) dialog.showModal();
}

/** Asks the person for a token; resolves to it, or to null when they would rather not. */
export function askForToken(refused) {
  const dialog = byId("dialog");
  dialog.setAttribute("aria-labelledby", "token-title");
  return new Promise((resolve) => {
    const input = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, maxlength: "4096" });
    let sent = false;
    const done = () => { resolve((sent && input.value.trim()) || null); };
    const form = h("form", { class: "token", method: "dialog" },
      h("h2", { id: "token-title", text: t("token_title") }),
      h("p", { text: t(refused ? "token_refused" : "token_why") }),
      h("label", { for: "token", text: t("token") }), input,
      h("div", { class: "dialog-foot" }, h("button", { type: "submit", class: "primary", text: t("token_send") })));
    form.addEventListener("submit", (event) => { event.preventDefault(); sent = true; dialog.close(); });
    dialog.addEventListener("close", done, { once: true });
    fill(dialog, form);
    if (!dialog.open) dialog.showModal();
    input.focus();
  });
}
