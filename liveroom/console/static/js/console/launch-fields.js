/** Fields of launch forms. Labels are keys of the word lists; the form translates them. */

import { h } from "../dom.js";

const UNITS = { s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** A field to write in; `wide` takes the whole width, and `when` (`"kind=percent"`) shows it only while another field has that value. */
export function inputField(label, name, attributes, { wide = false, when = null } = {}) {
  return h("label", { class: wide ? "field wide" : "field", "data-when": when }, words(label), h("input", { name, ...attributes }));
}

/** One of several values; `choices` has the key of the words for each value, and the first is chosen. */
export function choiceField(label, name, choices) {
  const one = ([value, key], place) => h("label", {}, h("input", { type: "radio", name, value, checked: place === 0 }), words(key));
  return h("fieldset", { class: "field segments" }, h("legend", { "data-t": label }), h("div", {}, Object.entries(choices).map(one)));
}

/** A whole number of a unit ("s", "min", "h" or "d"); `longest` is the longest unit on offer. */
export function durationField(label, name, value, unit, longest) {
  const units = Object.keys(UNITS).slice(0, Object.keys(UNITS).indexOf(longest) + 1);
  const option = (one) => h("option", { value: UNITS[one], selected: one === unit, "data-t": `unit_${one}` });
  return h(
    "label",
    { class: "field" },
    words(label),
    h(
      "span",
      { class: "duration" },
      h("input", { name, inputmode: "numeric", maxlength: 6, value }),
      h("select", { name: `${name}_unit`, "data-t-label": "unit" }, units.map(option)),
    ),
  );
}

/** A number; an empty field means no limit. */
export const addressField = () => inputField("users_per_address", "users_per_address", { inputmode: "numeric", maxlength: 5, "data-t-placeholder": "any_number" });

const words = (key) => h("span", { "data-t": key });
