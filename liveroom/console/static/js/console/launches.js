/** The launch buttons: one, with its form, for each feature that has a launch plan. */

import { byId, h, icon } from "../dom.js";
import { t, translate } from "../i18n.js";
import { LaunchForm } from "./launch-form.js";

export class Launches {
  #forms;

  constructor(parts, push, mayAnchor) {
    const plans = parts.map(({ launch }) => launch).filter(Boolean);
    this.#forms = plans.map((plan) => new LaunchForm(plan, push));
    byId("launches").append(...plans.map((plan, place) => makeButton(plan, this.#forms[place])));
    translate(byId("launches"));
    byId("launches").hidden = !mayAnchor || !plans.length;
  }

  show({ state }) {
    for (const button of byId("launches").children) {
      button.disabled = !state.open;
      button.title = state.open ? "" : t("room_ended");
    }
  }

  redraw() {
    for (const form of this.#forms) form.redraw();
  }
}

function makeButton({ kind, title, picture }, form) {
  return h("button", { type: "button", class: `launch ${kind}`, "data-launch": kind, onclick: () => form.open() }, icon(picture), h("span", { "data-t": title }));
}
