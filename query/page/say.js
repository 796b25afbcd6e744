// Says things in the chosen language: every string of the page is in words.js.

import { words } from "./words.js";

export const language = () => (document.documentElement.lang === "zh" ? "zh" : "en");

/** The string of `key`; {name} in it is replaced. A key without one is a mistake, and shows. */
export function t(key, values = {}) {
  const text = words[language()][key] ?? `?${key}?`;
  return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** The string of a value that others may have made up, such as a kind; itself where there is none. */
export function name(prefix, value) {
  return words[language()][`${prefix}_${value}`] ?? String(value).replaceAll("_", " ");
}

const numbers = { en: new Intl.NumberFormat("en-GB"), zh: new Intl.NumberFormat("zh-CN") };

export const count = (n) => numbers[language()].format(n);

export function share(x) {
  const percent = x * 100;
  const text = percent > 99 && percent < 100 ? Math.floor(percent * 10) / 10 : Math.round(percent * 10) / 10;
  return `${numbers[language()].format(text)} %`;
}

/** Sets the texts of everything that names its string in the page. */
export function sayAll(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-label]")) {
    const text = t(element.dataset.label);
    element.setAttribute("aria-label", text);
    if (element.matches("button, select, input")) element.title = text;
  }
}

export function setLanguage(chosen) {
  document.documentElement.lang = chosen;
  try { localStorage.setItem("sightlog-language", chosen); } catch { /* private mode: for this visit only */ }
  sayAll();
}
