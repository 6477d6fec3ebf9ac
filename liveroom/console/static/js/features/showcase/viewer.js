/** The showcase on the viewer page: the product being explained, and all products in a sheet. */

import { byId, forget, h, icon, reconcile, toast } from "../../dom.js";
import { getShowcase } from "../../http.js";
import { t } from "../../i18n.js";
import { money } from "../../money.js";
import { countOf, picture } from "../../product.js";
import { reasonOf } from "../../reasons.js";
import { wireSheet } from "../../sheet.js";

/** Put it into the page. */
export function mount({ room, name }) {
  const requestTryOn = room && ((product) => sendTryOn(room, product));
  const sheet = new ShowcaseSheet(name, requestTryOn);
  return {
    show({ state }) {
      drawPinned(state, requestTryOn);
      sheet.show(state);
    },
    redraw: () => sheet.redraw(),
  };
}

async function sendTryOn(room, { id }) {
  if (room.status !== "live") toast(t("waits"));
  try {
    await room.requestTryOn(id);
    toast(t("try_on_done"));
  } catch (error) {
    toast(reasonOf(error), "bad");
  }
}

/** Show the pinned product; `requestTryOn(product)` requests a try-on, and is `null` for users who may not. */
function drawPinned(state, requestTryOn) {
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

/** All products. They are fetched while the sheet is open and the room's showcase has another version. */
class ShowcaseSheet {
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
