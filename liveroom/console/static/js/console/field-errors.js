/** The errors of a form's fields, each at its field. */

import { h } from "../dom.js";

let made = 0;

/** Errors of the controls of `form`. Each is at the end of its `.field`, and disappears when the field changes. */
export class FieldErrors {
  #form;
  #shown = new Map(); // name -> its element

  constructor(form) {
    this.#form = form;
    form.addEventListener("input", ({ target }) => this.clear(target.name.replace(/_unit$/, "")));
  }

  /** Show exactly these errors (name -> words), and focus the first. */
  show(wrong) {
    for (const name of [...this.#shown.keys()]) this.clear(name);
    for (const [name, words] of wrong) this.#mark(name, words);
    const first = [...this.#form.elements].find((control) => wrong.has(control.name));
    first?.focus();
  }

  /** Remove the error of one field. */
  clear(name) {
    this.#shown.get(name)?.remove();
    this.#shown.delete(name);
    for (const control of this.#controls(name)) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-describedby");
    }
  }

  /** True if a field of this name is visible. */
  has(name) {
    return this.#controls(name).some((control) => control.checkVisibility());
  }

  #mark(name, words) {
    const id = `field-error-${(made += 1)}`;
    const controls = this.#controls(name);
    const error = h("small", { class: "field-error", id, role: "alert", "data-error": name }, words);
    for (const control of controls) {
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", id);
    }
    controls[0].closest(".field").append(error);
    this.#shown.set(name, error);
  }

  #controls(name) {
    return [...this.#form.elements].filter((control) => control.name === name);
  }
}
