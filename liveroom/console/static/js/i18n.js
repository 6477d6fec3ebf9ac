/** The pages' texts in English and Chinese, and the format of numbers and times. */

import { EN as FEATURES_EN } from "./features/words-en.js";
import { ZH as FEATURES_ZH } from "./features/words-zh.js";
import { EN } from "./words-en.js";
import { ZH } from "./words-zh.js";

const WORDS = { en: { ...EN, ...FEATURES_EN }, zh: { ...ZH, ...FEATURES_ZH } };
const LOCALES = { en: "en", zh: "zh-CN" };
const KEPT_AS = "liveroom.lang";

/** The present language, "en" or "zh": from `?lang=`, else the last choice, else the browser's. */
export let lang = firstLanguage();

function firstLanguage() {
  const wished = [new URLSearchParams(location.search).get("lang"), localStorage.getItem(KEPT_AS), ...navigator.languages];
  return wished.map((name) => name?.slice(0, 2).toLowerCase()).find((name) => name in WORDS) ?? "en";
}

/** The language as browsers name it, "en" or "zh-CN". */
export const locale = () => LOCALES[lang];

/** The words for `key` with `{name}` filled in from `values`; the key itself when there are none. */
export function t(key, values = {}) {
  return (WORDS[lang][key] ?? WORDS.en[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The words for `key` as nodes, with `element` in the place of `{it}`. */
export function tAround(key, element, values = {}) {
  const [before, after] = t(key, { ...values, it: "\0" }).split("\0");
  return [before, element, after];
}

/** True if there are words for `key`. */
export function hasWords(key) {
  return key in WORDS[lang];
}

const listeners = [];

/** Call `draw` whenever the language changes. */
export function onLanguage(draw) {
  listeners.push(draw);
}

/** Write the texts into the elements: `data-t` is for the text, `data-t-label`, `-placeholder` and `-title` are for attributes. */
export function translate(root = document) {
  document.documentElement.lang = locale();
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const [name, attribute] of [["tLabel", "aria-label"], ["tPlaceholder", "placeholder"], ["tTitle", "title"]]) {
    const selector = `[data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`;
    for (const element of root.querySelectorAll(selector)) element.setAttribute(attribute, t(element.dataset[name]));
  }
}

/** Make `button` switch between the languages; it names the other one. */
export function languageButton(button) {
  const draw = () => {
    button.textContent = t("other_language");
    button.lang = lang === "en" ? "zh-CN" : "en";
  };
  button.addEventListener("click", () => {
    lang = lang === "en" ? "zh" : "en";
    localStorage.setItem(KEPT_AS, lang);
    translate();
    for (const listener of listeners) listener();
  });
  onLanguage(draw);
  draw();
}

/** 12345 as "12.3K" or "1.2万". */
export function shortNumber(count) {
  return new Intl.NumberFormat(locale(), { notation: count < 10_000 ? "standard" : "compact", maximumFractionDigits: 1 }).format(count);
}

/** A Unix time in ms as a clock time, with the date when it is not today. */
export function clock(timeMs) {
  const day = new Date(timeMs).toDateString() === new Date().toDateString() ? {} : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(locale(), { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(timeMs);
}
