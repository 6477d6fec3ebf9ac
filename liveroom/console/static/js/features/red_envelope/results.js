/** Results of the envelopes that ended while the page was open: the luckiest winners, the sum granted and the sum refunded. */

import { byId, forget, h, icon, reconcile, toast } from "../../dom.js";
import { t } from "../../i18n.js";
import { money } from "../../money.js";
import { putAt } from "../../place.js";

const KEPT = 5;

export class EnvelopeResults {
  #dropped = new Map(); // envelope -> {title, total_fen}: its end does not name them
  #results = []; // newest first

  constructor() {
    putAt(
      "money",
      h("h3", { id: "results-title", class: "label", "data-t": "envelope_results", hidden: true }),
      h("ul", { id: "results", class: "rows", "aria-live": "polite", "aria-relevant": "additions" }),
    );
  }

  show(state) {
    for (const { envelope, title, total_fen } of state.envelopes) this.#dropped.set(envelope, { title, total_fen });
    this.#draw();
  }

  onEvent(event) {
    if (event.type === "red_envelope_dropped") this.#dropped.set(event.seq, event);
    if (event.type !== "red_envelope_closed") return;
    const { title = "", total_fen = event.granted_fen + event.refunded_fen } = this.#dropped.get(event.envelope) ?? {};
    this.#dropped.delete(event.envelope);
    this.#results = [{ ...event, title, total_fen }, ...this.#results].slice(0, KEPT);
    this.#draw();
    toast(t("envelope_over", { title: title || t("red_envelope"), granted: money(event.granted_fen), refunded: money(event.refunded_fen) }));
  }

  redraw() {
    forget(byId("results"));
    this.#draw();
  }

  #draw() {
    byId("results-title").hidden = !this.#results.length;
    reconcile(byId("results"), this.#results, { key: ({ envelope }) => envelope, make: (result) => this.#make(result) });
  }

  #make({ envelope, title, reason, total_fen, granted_fen, refunded_fen, best = [] }) {
    const figure = (name, fen) => h("div", {}, h("dt", {}, t(name)), h("dd", { "data-show": `${name}_fen` }, money(fen)));
    const dismiss = () => {
      this.#results = this.#results.filter((result) => result.envelope !== envelope);
      this.#draw();
    };
    return h(
      "li",
      { class: "offer result", "data-envelope": envelope, "data-reason": reason },
      h(
        "header",
        {},
        h("span", { class: "badge" }, icon("envelope")),
        h("strong", { title }, title || t("red_envelope")),
        h("span", { class: "when" }, t(`state_${reason}`)),
        h("button", { type: "button", class: "icon-button", "data-act": "dismiss", "aria-label": t("close"), onclick: dismiss }, icon("close")),
      ),
      h("dl", { class: "figures" }, figure("total", total_fen), figure("granted", granted_fen), figure("refunded", refunded_fen)),
      best.length > 0 && h("p", { class: "meta" }, t("best_luck")),
      best.length > 0 && h("ol", { class: "best" }, best.map(({ user, name, amount_fen }, place) => h("li", { "data-user": user }, place ? h("i", {}, place + 1) : icon("crown"), h("bdi", { title: user }, name), h("b", { class: "fen" }, money(amount_fen))))),
    );
  }
}
