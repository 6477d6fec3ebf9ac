/** The shares of red envelopes that a viewer won. */

import { h, icon, reconcile } from "../../dom.js";
import { lang, t } from "../../i18n.js";
import { money } from "../../money.js";

/** Show `shares` (`[{envelope, amount_fen}]`) in `list`, the newest first. */
export function drawShares(list, shares) {
  reconcile(list, [...shares].reverse(), {
    key: ({ envelope }) => `${envelope} ${lang}`,
    make: ({ envelope, amount_fen }) =>
      h("li", { class: "share", "data-envelope": envelope }, icon("envelope"), h("span", {}, t("red_envelope_number", { number: envelope })), h("b", {}, money(amount_fen))),
  });
}
