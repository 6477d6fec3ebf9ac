/** A form that launches an offer: it is filled in, reviewed with its sum, then sent. A refusal appears at its field. */

import { byId, h, icon, toast } from "../dom.js";
import { newCommandId } from "../http.js";
import { t } from "../i18n.js";
import { putAt } from "../place.js";
import { fieldReason, reasonOf } from "../reasons.js";
import { FieldErrors } from "./field-errors.js";
import { Reading } from "./reading.js";

/**
 * The dialog `#launch-<kind>`. `plan` has the parts that differ by kind:
 *
 *     kind               its name in ids, classes and the words `launch_<kind>` and `launched_<kind>`
 *     title, picture     the key of its title's words, and its icon
 *     controls()         the fields, see launch-fields.js
 *     command            what is sent
 *     inputs             {field of the command: name of the control}
 *     read(reading)      the command's fields
 *     preview(fields)    words below the form while it is filled in; fields that cannot be read yet are null
 *     review(fields)     {sum, lines: [[label, words], ...], note}: what the anchor is about to do
 *     prepare(form)      called when the dialog opens, may be async; returns words when there is nothing to launch
 */
export class LaunchForm {
  #plan;
  #push;
  #dialog;
  #form;
  #errors;
  #fields = null; // what is under review
  #unanswered = null; // {body, id} of what was sent and may have happened

  constructor(plan, push) {
    this.#plan = plan;
    this.#push = push;
    this.#dialog = makeDialog(plan);
    this.#form = this.#dialog.querySelector("form");
    this.#form.append(byId("launch-end").content.cloneNode(true));
    this.#act("launch").dataset.t = `launch_${plan.kind}`;
    putAt("sheets", this.#dialog);
    this.#errors = new FieldErrors(this.#form);
    this.#form.addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      if (this.#fields) this.#launch();
      else this.#review();
    });
    this.#form.addEventListener("input", () => this.#follow());
    this.#act("dismiss").addEventListener("click", () => this.#dialog.close());
    this.#act("back").addEventListener("click", () => this.#edit());
    this.#follow();
  }

  /** Show the form with its last input. */
  async open() {
    this.#edit();
    this.#dialog.showModal();
    const words = (await this.#plan.prepare?.(this.#form)) ?? "";
    this.#say(words);
    this.#act("review").disabled = Boolean(words);
    this.#follow();
  }

  /** Redraw in the present language. */
  redraw() {
    this.#errors.show(new Map());
    this.#follow();
    if (this.#fields) this.#drawReview();
  }

  #act(name) {
    return this.#form.querySelector(`[data-act=${name}]`);
  }

  #part(name) {
    return this.#form.querySelector(`.${name}`);
  }

  #say(words) {
    this.#part("form-error").textContent = words;
    this.#part("form-error").hidden = !words;
  }

  /** Show the relevant fields, and the preview of their values. */
  #follow() {
    for (const field of this.#form.querySelectorAll("[data-when]")) {
      const [name, value] = field.dataset.when.split("=");
      field.hidden = this.#form.elements[name].value !== value;
    }
    const words = this.#plan.preview(this.#plan.read(new Reading(this.#form)));
    this.#part("preview").textContent = words;
    this.#part("preview").hidden = !words || this.#fields !== null;
  }

  #edit() {
    this.#fields = null;
    this.#show();
  }

  #review() {
    const reading = new Reading(this.#form);
    const fields = this.#plan.read(reading);
    this.#errors.show(reading.wrong);
    if (reading.wrong.size) return;
    this.#fields = fields;
    this.#show();
    this.#drawReview();
    this.#part("review").focus(); // not the button: Enter pressed twice must not launch
  }

  #show() {
    const reviewing = this.#fields !== null;
    this.#say("");
    this.#part("launch-fields").hidden = this.#act("dismiss").hidden = this.#act("review").hidden = reviewing;
    this.#part("review").hidden = this.#act("back").hidden = this.#act("launch").hidden = !reviewing;
    this.#part("preview").hidden ||= reviewing;
  }

  #drawReview() {
    const { sum, lines, note } = this.#plan.review(this.#fields);
    this.#part("sum").textContent = sum;
    this.#part("figures").replaceChildren(...lines.map(([label, words]) => h("div", {}, h("dt", {}, label), h("dd", {}, words))));
    this.#part("note").textContent = note;
    this.#part("note").hidden = !note;
  }

  async #launch() {
    const fields = this.#fields;
    const body = JSON.stringify(fields);
    const id = this.#unanswered?.body === body ? this.#unanswered.id : newCommandId(); // the same again must not launch it twice
    this.#unanswered = { body, id };
    const control = this.#act("launch");
    this.#act("back").disabled = true;
    const answer = await this.#push(this.#plan.command, fields, { control, id, onFailed: (error) => this.#onFailed(error, fields) });
    this.#act("back").disabled = false;
    if (!answer) return;
    this.#unanswered = null;
    toast(t(`launched_${this.#plan.kind}`));
    if (this.#fields !== fields) return; // the form was left and opened again: what is in it now is something else
    this.#form.reset();
    this.#edit();
    this.#follow();
    this.#dialog.close();
  }

  #onFailed(error, fields) {
    if (error.seq) this.#unanswered = null; // the room decided; any other error leaves open what an attempt before did
    if (!this.#dialog.open || this.#fields !== fields) return false;
    const name = this.#plan.inputs[error.field];
    if (!name) {
      this.#say(reasonOf(error));
      return true;
    }
    this.#edit();
    if (this.#errors.has(name)) this.#errors.show(new Map([[name, fieldReason(error)]]));
    else this.#say(fieldReason(error));
    return true;
  }
}

function makeDialog(plan) {
  const { kind, title, picture } = plan;
  const id = `launch-${kind}`;
  return h(
    "dialog",
    { id, class: `sheet launch-sheet ${kind}`, "aria-labelledby": `${id}-title` },
    h(
      "form",
      { autocomplete: "off", novalidate: true },
      h("header", {}, h("h2", { id: `${id}-title` }, icon(picture), h("span", { "data-t": title }))),
      h("div", { class: "launch-fields" }, plan.controls()),
    ),
  );
}
