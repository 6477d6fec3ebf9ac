/** The viewer page's pinned product, showcase and questions. */

import { byId, forget, h, icon, reconcile } from "../../dom.js";
import { getShowcase } from "../../http.js";
import { t } from "../../i18n.js";
import { money } from "../../money.js";
import { countOf, picture } from "../../product.js";

/** Show the product being explained; `requestTryOn(product)` asks to see it tried on, `null` when one may not. */
export function drawPinned(state, requestTryOn) {
  reconcile(byId("pinned"), state.pinned ? [state.pinned] : [], {
    key: (product) => `${JSON.stringify(product)} ${document.documentElement.lang}`,
    make: (product) => makeProduct(product, requestTryOn, true),
    update: (row, product) => drawTryOn(row, countOf(state.try_ons, product.id), requestTryOn, state.open),
  });
}

function makeProduct(product, requestTryOn, pinned) {
  const { title, price_fen, link_url = "" } = product;
  return h(
    pinned ? "article" : "li",
    { class: `product${pinned ? " is-pinned" : ""}`, "data-product": product.id },
    picture(product),
    h(
      "div",
      { class: "product-words" },
      pinned && h("span", { class: "tag" }, t("explaining")),
      h("strong", {}, title),
      h("span", { class: "price" }, money(price_fen)),
    ),
    h(
      "div",
      { class: "product-acts" },
      h(
        "button",
        { type: "button", class: "try-on", "aria-label": t("try_on_label", { title }), onclick: () => requestTryOn(product) },
        icon("shirt"),
        h("span", {}, t("try_on")),
        h("b", { class: "try-on-count" }),
      ),
      link_url && h("a", { class: "buy", href: link_url, target: "_blank", rel: "noopener noreferrer" }, t("buy")),
    ),
  );
}

function drawTryOn(row, count, requestTryOn, open) {
  row.querySelector(".try-on-count").textContent = count || "";
  const button = row.querySelector(".try-on");
  button.disabled = !requestTryOn || !open;
  button.title = button.disabled ? t(open ? "no_token_viewer" : "room_ended") : "";
}

/** Let `opener` open a sheet; it closes by its button, by Escape or by a tap beside it. */
export function wireSheet(dialog, opener, onOpen = () => {}) {
  opener.addEventListener("click", () => {
    dialog.showModal();
    onOpen();
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (click) => click.target === dialog && dialog.close()); // beside it
}

/** All products; fetched when it is open and the room's showcase has another version. */
export class ShowcaseSheet {
  #room;
  #requestTryOn;
  #state = null;
  #showcase = null;
  #fetched = null; // the version that was asked for
  #failed = false;
  #fetching = false;

  constructor(room, requestTryOn) {
    this.#room = room;
    this.#requestTryOn = requestTryOn;
    wireSheet(byId("showcase"), byId("open-showcase"), () => this.#refresh());
  }

  /** Follow the room's state. */
  show(state) {
    this.#state = state;
    if (byId("showcase").open) this.#refresh(); // draws too
  }

  /** Redraw in the present language. */
  redraw() {
    forget(byId("products"));
    this.#draw();
  }

  async #refresh() {
    this.#draw();
    const wanted = this.#state?.showcase_version;
    if (this.#fetching || this.#fetched === wanted) return;
    this.#fetching = true;
    try {
      this.#showcase = await getShowcase(this.#room, wanted);
      this.#fetched = wanted;
      this.#failed = false;
    } catch {
      this.#failed = true;
    }
    this.#fetching = false;
    this.#draw();
  }

  #draw() {
    const list = byId("products");
    list.dataset.empty = t(this.#failed ? "showcase_failed" : "showcase_empty");
    const { products = [], try_ons = {} } = this.#showcase ?? {};
    reconcile(list, products, {
      key: (product) => JSON.stringify(product),
      make: (product) => makeProduct(product, this.#requestTryOn, false),
      update: (row, { id }) => {
        row.classList.toggle("on-air", id === this.#state?.pinned?.id);
        drawTryOn(row, Math.max(countOf(this.#state?.try_ons, id), countOf(try_ons, id)), this.#requestTryOn, this.#state?.open);
      },
    });
  }
}

const QUESTION_ORDER = { picked: 0, asked: 1, answered: 2 };

/** The questions to the anchor, the one being answered first. */
export class QuestionSheet {
  #state = null;
  #me = null;

  constructor() {
    wireSheet(byId("questions"), byId("open-questions"));
  }

  /** Follow the room's state; `me` is the user whose questions are marked. */
  show(state, me) {
    this.#state = state;
    this.#me = me;
    const open = state.questions.filter((question) => question.state !== "answered").length;
    byId("questions-count").hidden = !open;
    byId("questions-count").textContent = open;
    const list = byId("question-rows");
    list.dataset.empty = t("questions_empty");
    const stateOf = ({ state: own = "asked" }) => own;
    const sorted = [...state.questions].sort((one, other) => QUESTION_ORDER[stateOf(one)] - QUESTION_ORDER[stateOf(other)] || one.seq - other.seq);
    reconcile(list, sorted, {
      key: ({ seq, state: own, answer }) => `${seq} ${own} ${answer}`,
      make: (question) => this.#make(question, stateOf(question)),
    });
  }

  /** Redraw in the present language. */
  redraw() {
    forget(byId("question-rows"));
    if (this.#state) this.show(this.#state, this.#me);
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
