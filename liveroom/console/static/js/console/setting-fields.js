/** Fields with the room's settings. Each shows the value in force; a value that is no news never overwrites what somebody types. */

import { byId } from "../dom.js";
import { t } from "../i18n.js";

export class SettingFields {
  #push;
  #filled = new Map(); // id -> {value, write} of the last filling

  constructor(push) {
    this.#push = push;
  }

  /** Show the value in force; `write(value)` puts it into the field. */
  fill(id, value, write = () => (byId(id).value = value)) {
    if (this.#filled.get(id)?.value === value) return;
    this.#filled.set(id, { value, write });
    write(value);
  }

  /** Show the value in force again: after a change that was not taken, or in another language. */
  restore(id) {
    const { value, write } = this.#filled.get(id) ?? {};
    write?.(value);
  }

  /** Send a setting; resolves to the answer, or `null`. */
  save(command, fields, control) {
    return this.#push(command, fields, { control, confirm: t("done") });
  }

  /** Send a field that was changed. It goes back to the value in force if the change is not taken. */
  async saveField(id, command, fields) {
    if (byId(id).ariaBusy === "true") return; // Enter in a changed field comes here twice
    if (!(await this.save(command, fields, byId(id)))) this.restore(id);
  }

  /** Call `send(control)` when this form is submitted. */
  onSubmit(form, send) {
    byId(form).addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      send(submitted.target.querySelector("[type=submit]"));
    });
  }
}
