/** The dialog that asks how long and why to mute or ban a user. */

import { byId, h } from "../../dom.js";
import { t } from "../../i18n.js";

const DURATIONS_MS = [60_000, 600_000, 3_600_000, 86_400_000, 2_592_000_000];
const DURATION_MS_FIRST = 600_000;

export class SanctionDialog {
  #push;
  #sanction = null; // {command, user, control} that the dialog asks about

  constructor(push) {
    this.#push = push;
    byId("sanction").addEventListener("close", () => this.#impose());
  }

  /** Ask; `kind` is "mute" or "ban". */
  ask(kind, user, control) {
    this.#sanction = { command: `${kind}_user`, user, control };
    byId("sanction-title").textContent = t(`sanction_${kind}`, { user });
    byId("sanction-do").textContent = t(kind);
    byId("sanction-duration").replaceChildren(
      ...DURATIONS_MS.map((ms) => h("option", { value: ms, selected: ms === DURATION_MS_FIRST }, t(`duration_${ms}`))),
    );
    byId("sanction-reason").value = "";
    byId("sanction").returnValue = "";
    byId("sanction").showModal();
    byId("sanction-reason").focus();
  }

  #impose() {
    if (byId("sanction").returnValue !== "do") return;
    const { command, user, control } = this.#sanction;
    this.#push(command, { user, duration_ms: Number(byId("sanction-duration").value), reason: byId("sanction-reason").value }, { control });
  }
}
