/** The card of one live offer: its title, its time, its stock and its actions. */

import { countdown } from "../countdown.js";
import { h, icon } from "../dom.js";
import { t } from "../i18n.js";

/** A card. `when` is the key of the words before a countdown and its end; without it the thing is closed. `meta` are short words about it. */
export function makeCard(attributes, picture, title, [when, untilMs], meta, ...rest) {
  return h(
    "li",
    { ...attributes, class: `offer ${attributes.class}` },
    h(
      "header",
      {},
      h("span", { class: "badge" }, icon(picture)),
      h("strong", { title }, title),
      h("span", { class: "when" }, when ? [`${t(when)} `, countdown(untilMs)] : t("state_closed")),
    ),
    h("p", { class: "meta" }, between(meta.filter(Boolean))),
    rest,
  );
}

/** Words for a limit of users per network address; empty without one. */
export function addressWords(count) {
  return count ? t("per_address_meta", { count }) : "";
}

/** The legend of a stock bar: `[kind, show, words]` for each color, with its number. */
export function legend(...entries) {
  return h("p", { class: "stock-legend" }, entries.map(([kind, show, words]) => h("span", { class: kind }, `${words} `, h("b", { "data-show": show }))));
}

/** The last line of a card. */
export function foot(...children) {
  return h("div", { class: "foot" }, children);
}

/** The button that ends a thing; `end(control)` is called when it is pressed. */
export function endButton(act, words, end) {
  return h("button", { type: "button", class: "danger", "data-act": act, onclick: ({ currentTarget }) => end(currentTarget) }, t(words));
}

/** Write numbers into their places (`data-show`). */
export function fillNumbers(card, numbers) {
  for (const [name, value] of Object.entries(numbers)) card.querySelector(`[data-show="${name}"]`).textContent = value;
}

function between(parts) {
  return parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
}
