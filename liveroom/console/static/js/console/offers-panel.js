/** The offers of all features that are live now, each with the units left and the buttons to end or restock it. */

import { byId, forget, reconcile } from "../dom.js";
import { t } from "../i18n.js";

/**
 * Shows the `offers` of the features' parts:
 *
 *     list(state)        the views to show, in their order
 *     key(view)          tells its card from every other one; another key makes the card again
 *     make(view)         the card
 *     update(card, view) shows what is left
 */
export class OffersPanel {
  #offers;

  constructor(parts) {
    this.#offers = parts.map(({ offers }) => offers).filter(Boolean);
  }

  show({ state }) {
    byId("offers").dataset.empty = t("nothing_live");
    const rows = this.#offers.flatMap((offers) => offers.list(state).map((view) => ({ offers, view })));
    reconcile(byId("offers"), rows, {
      key: ({ offers, view }) => offers.key(view),
      make: ({ offers, view }) => offers.make(view),
      update: (card, { offers, view }) => offers.update(card, view),
    });
  }

  redraw() {
    forget(byId("offers"));
  }
}
