/** Questions on the viewer page: all of them in a sheet, and the one being answered on the stage. */

import { byId, forget, h, reconcile } from "../../dom.js";
import { t } from "../../i18n.js";
import { wireSheet } from "../../sheet.js";

const ORDER = { picked: 0, asked: 1, answered: 2 };

/** Put them into the page. */
export function mount() {
  byId("answering").addEventListener("click", () => byId("questions").showModal());
  return new Questions();
}

/** The questions to the anchor, the one being answered first. */
class Questions {
  #me = null; // the user whose questions are marked

  constructor() {
    wireSheet(byId("questions"), byId("open-questions"));
  }

  show({ state, me }) {
    this.#me = me;
    this.#drawPicked(state);
    const open = state.questions.filter((question) => question.state !== "answered").length;
    byId("questions-count").hidden = !open;
    byId("questions-count").textContent = open;
    const list = byId("question-rows");
    list.dataset.empty = t("questions_empty");
    const stateOf = ({ state: own = "asked" }) => own;
    const sorted = [...state.questions].sort((one, other) => ORDER[stateOf(one)] - ORDER[stateOf(other)] || one.seq - other.seq);
    reconcile(list, sorted, {
      key: ({ seq, state: own, answer }) => `${seq} ${own} ${answer}`,
      make: (question) => this.#make(question, stateOf(question)),
    });
  }

  redraw() {
    forget(byId("question-rows"));
  }

  #drawPicked({ questions, open }) {
    const picked = questions.find((question) => question.state === "picked");
    byId("answering").hidden = !picked || !open;
    if (picked) byId("answering").textContent = `${t("answering")} · ${picked.name}: ${picked.text}`;
  }

  #make({ user, name, text, answer = "" }, state) {
    return h(
      "li",
      { class: `question ${state}${user === this.#me ? " mine" : ""}` },
      h("span", { class: "tag" }, t(`question_${state}`)),
      h("p", {}, h("bdi", { class: "name" }, user === this.#me ? t("you") : name), " ", h("bdi", {}, text)),
      answer && h("p", { class: "answer" }, h("bdi", {}, answer)),
    );
  }
}
