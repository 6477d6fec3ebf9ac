/** The questions to the anchor: pick, answer, dismiss. */

import { byId, forget, h, reconcile, toast } from "../../dom.js";
import { get } from "../../http.js";
import { t } from "../../i18n.js";
import { reasonOf } from "../../reasons.js";

const ORDER = { picked: 0, asked: 1, answered: 2 };
const stateOf = ({ state = "asked" }) => state;
const BEHIND_MS = 300; // HTTP may be a moment behind the room's own stream

/** Put them into the page. */
export function mount({ name, push }) {
  return new QuestionBoard(name, push);
}

/** All questions, over HTTP: the room's state holds only the newest ones. */
class QuestionBoard {
  #room;
  #push;
  #questions = [];
  #refreshing = null;
  #drafts = new Map(); // question -> answer being written: a row that is drawn anew keeps it

  constructor(room, push) {
    this.#room = room;
    this.#push = push;
  }

  show() {
    const list = byId("question-rows");
    list.dataset.empty = t("questions_empty");
    for (const question of this.#drafts.keys()) {
      if (!this.#questions.some(({ seq }) => seq === question)) this.#drafts.delete(question);
    }
    const writing = document.activeElement?.closest?.("#question-rows input") && Number(document.activeElement.closest("[data-question]").dataset.question);
    const sorted = [...this.#questions].sort((one, other) => ORDER[stateOf(one)] - ORDER[stateOf(other)] || one.seq - other.seq);
    reconcile(list, sorted, { key: (question) => `${question.seq} ${stateOf(question)}`, make: (question) => this.#make(question) });
    if (writing && !list.contains(document.activeElement)) list.querySelector(`[data-question="${writing}"] input`)?.focus();
  }

  onEvent({ type }) {
    if (type.startsWith("question_")) this.onJoined();
  }

  onJoined() {
    this.#refreshing ??= setTimeout(() => this.#refresh(), BEHIND_MS);
  }

  async #refresh() {
    this.#refreshing = null;
    try {
      ({ questions: this.#questions } = await get(`/v1/rooms/${encodeURIComponent(this.#room)}/questions`));
      this.show();
    } catch (error) {
      toast(reasonOf(error), "bad");
    }
  }

  redraw() {
    forget(byId("question-rows"));
  }

  #make(question) {
    const { seq, user, name, text, answer = "" } = question;
    const state = stateOf(question);
    return h(
      "li",
      { class: `question ${state}`, "data-question": seq },
      h("div", {}, state !== "asked" && h("span", { class: "tag" }, t(`question_${state}`)), state !== "asked" && " ", h("bdi", { class: "name", title: user }, name), h("bdi", {}, text)),
      answer && h("p", { class: "answer" }, h("bdi", {}, answer)),
      state !== "answered" && this.#acts(seq, state),
    );
  }

  #acts(question, state) {
    const keep = ({ currentTarget }) => this.#drafts.set(question, currentTarget.value);
    const written = h("input", { maxlength: 1000, placeholder: t("answer_hint"), "aria-label": t("answer_hint"), oninput: keep });
    written.value = this.#drafts.get(question) ?? "";
    const answer = (submitted) => {
      submitted.preventDefault();
      this.#push("answer_question", { question, text: written.value }, { control: submitted.target.querySelector("[type=submit]") });
    };
    const press = (command) => ({ currentTarget: control }) => this.#push(command, { question }, { control });
    return h(
      "form",
      { autocomplete: "off", onsubmit: answer },
      state === "asked" && h("button", { type: "button", class: "primary", onclick: press("pick_question") }, t("pick")),
      written,
      h("button", { type: "submit" }, t("answer")),
      h("button", { type: "button", class: "ghost", onclick: press("dismiss_question") }, t("dismiss")),
    );
  }
}
