/** The showcase: add, remove and pin products, and the number of try-on requests for each. */

import { byId, forget, h, icon, reconcile, toast } from "../../dom.js";
import { getShowcase } from "../../http.js";
import { t } from "../../i18n.js";
import { fenOf, money } from "../../money.js";
import { countOf, picture } from "../../product.js";
import { reasonOf } from "../../reasons.js";

const QUIET = matchMedia("(prefers-reduced-motion: reduce)");

/** Put it into the page. */
export function mount({ name, push, mayAnchor }) {
  return new ShowcaseManager(name, push, mayAnchor);
}

class ShowcaseManager {
  #room;
  #push;
  #mayAnchor;
  #state = null;
  #products = [];
  #tryOns = {};
  #fetched = null; // the version that was asked for
  #fetching = false;
  #added = null; // the product just added, until its row is seen

  constructor(room, push, mayAnchor) {
    this.#room = room;
    this.#push = push;
    this.#mayAnchor = mayAnchor;
    byId("add-product-box").hidden = !mayAnchor;
    byId("add-product").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      this.#add(submitted.target);
    });
  }

  show({ state }) {
    this.#state = state;
    this.#refresh();
    this.#draw();
  }

  redraw() {
    forget(byId("products"));
  }

  async #refresh() {
    const wanted = this.#state.showcase_version;
    if (this.#fetching || this.#fetched === wanted) return;
    this.#fetching = true;
    try {
      ({ products: this.#products, try_ons: this.#tryOns } = await getShowcase(this.#room, wanted));
      this.#fetched = wanted;
    } catch (error) {
      toast(reasonOf(error), "bad");
      setTimeout(() => this.#refresh(), 3_000);
    }
    this.#fetching = false;
    if (this.#fetched !== null && this.#fetched !== this.#state.showcase_version) this.#refresh();
    this.#draw();
  }

  #draw() {
    byId("products").dataset.empty = t("showcase_empty");
    reconcile(byId("products"), this.#products, {
      key: (product) => JSON.stringify(product),
      make: (product) => this.#make(product),
      update: (row, { id }) => {
        const pinned = this.#state.pinned?.id === id;
        row.classList.toggle("is-pinned", pinned);
        row.querySelector(".pin").textContent = t(pinned ? "unpin" : "pin");
        row.querySelector(".pin").setAttribute("aria-pressed", String(pinned));
        const tryOnCount = Math.max(countOf(this.#state.try_ons, id), countOf(this.#tryOns, id));
        row.querySelector(".try-on-count").textContent = tryOnCount ? t("try_on_requests", { count: tryOnCount }) : "";
      },
    });
    this.#reveal();
  }

  #make(product) {
    const { id, title, price_fen } = product;
    return h(
      "li",
      { class: "row", "data-product": id },
      picture(product),
      h("div", { class: "row-words" }, h("strong", { title }, title), h("span", { class: "price" }, money(price_fen)), " ", h("small", {}, id), h("small", { class: "try-on-count" })),
      h("button", { type: "button", class: "pin", onclick: ({ currentTarget }) => this.#togglePin(id, currentTarget) }),
      this.#mayAnchor &&
        h(
          "button",
          { type: "button", class: "icon-button", "aria-label": t("remove_label", { title }), title: t("remove"), onclick: ({ currentTarget: control }) => this.#push("remove_product", { product: id }, { control }) },
          icon("trash"),
        ),
    );
  }

  #togglePin(id, control) {
    if (this.#state.pinned?.id === id) this.#push("unpin_product", {}, { control });
    else this.#push("pin_product", { product: id }, { control });
  }

  /** Scroll to a product that was just added, once its row is there. */
  #reveal() {
    const { id, title, price_fen } = this.#added ?? {};
    if (!this.#products.some((product) => product.id === id && product.title === title && product.price_fen === price_fen)) return;
    this.#added = null;
    const row = byId("products").querySelector(`[data-product="${id}"]`);
    row.scrollIntoView({ block: "nearest", behavior: QUIET.matches ? "instant" : "smooth" });
    row.classList.add("is-new");
    row.addEventListener("animationend", () => row.classList.remove("is-new"), { once: true });
  }

  async #add(form) {
    const { id, title, price, image_url, link_url } = Object.fromEntries(new FormData(form));
    const price_fen = fenOf(price);
    if (price_fen === null) return toast(t("price_wrong"), "bad");
    const product = { id, title, price_fen, image_url, link_url };
    const control = form.querySelector("[type=submit]");
    if (await this.#push("add_product", { product }, { control, confirm: t("product_added", { title }) })) {
      form.reset();
      form.elements.id.focus({ preventScroll: true });
      this.#added = product;
      this.#reveal();
    }
  }
}
