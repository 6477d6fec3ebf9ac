/** Parses a form's amounts, counts and durations, digit by digit. */

import { durationWords } from "../duration.js";
import { t } from "../i18n.js";
import { FEN_MAX, fenOf, shortMoney } from "../money.js";

const WHOLE = /^\d{1,12}$/;

/** Reads a form's controls by name. An invalid value is `null`, and `wrong` says why: name -> words. */
export class Reading {
  #form;
  wrong = new Map();

  constructor(form) {
    this.#form = form;
  }

  /** The choice among several. */
  choice(name) {
    return this.#form.elements[name].value;
  }

  /** Text without spaces around it. */
  text(name, { required = false } = {}) {
    const text = this.#form.elements[name].value.trim();
    if (required && !text) this.wrong.set(name, t("refused_missing_field"));
    return text;
  }

  /** An amount in fen; `empty` is the value of an empty field, if it may be empty. */
  fen(name, { min = 0, empty = null } = {}) {
    const text = this.text(name, { required: empty === null });
    if (!text) return empty;
    const fen = fenOf(text);
    if (fen === null) return this.#refuse(name, t("amount_wrong", { max: shortMoney(FEN_MAX) }));
    return fen < min ? this.#refuse(name, t("amount_too_small", { min: shortMoney(min) })) : fen;
  }

  /** A whole number; `empty` is as above. */
  count(name, { min, max, empty = null }) {
    const text = this.text(name, { required: empty === null }).normalize("NFKC");
    if (!text) return empty;
    const count = WHOLE.test(text) ? Number(text) : NaN;
    return count >= min && count <= max ? count : this.#refuse(name, t("count_wrong", { min, max }));
  }

  /** A duration in ms: a whole number of the unit beside it. */
  ms(name, { min, max }) {
    const text = this.text(name, { required: true }).normalize("NFKC");
    if (!text) return null;
    const ms = WHOLE.test(text) ? Number(text) * Number(this.#form.elements[`${name}_unit`].value) : NaN;
    return ms >= min && ms <= max ? ms : this.#refuse(name, t("duration_wrong", { min: durationWords(min), max: durationWords(max) }));
  }

  #refuse(name, words) {
    this.wrong.set(name, words);
    return null;
  }
}
