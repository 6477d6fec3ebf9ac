/** The form that announces a flash sale. */

import { addressField, durationField, inputField } from "../../console/launch-fields.js";
import { DAY_MS, HOUR_MS, PER_ADDRESS, STOCK_MAX } from "../../console/launch-limits.js";
import { h } from "../../dom.js";
import { durationWords, opensWords } from "../../duration.js";
import { get } from "../../http.js";
import { t } from "../../i18n.js";
import { money, shortMoney, timesMoney } from "../../money.js";
import { reasonOf } from "../../reasons.js";

/** How an anchor announces a flash sale. */
export class SalePlan {
  kind = "sale";
  title = "flash_sale";
  picture = "bolt";
  command = "announce_flash_sale";
  inputs = {
    product: "product",
    price_fen: "price",
    stock: "stock",
    per_user_max: "per_user",
    users_per_address_max: "users_per_address",
    opens_in_ms: "opens_in",
    open_for_ms: "open_for",
    hold_ms: "hold_for",
  };
  #room;
  #products = new Map();
  #pinned = () => null;

  /** `pinned()` gives the id of the pinned product, if any, which is the default choice. */
  constructor(room, pinned) {
    this.#room = room;
    this.#pinned = pinned;
  }

  controls() {
    return [
      h("label", { class: "field wide" }, h("span", { "data-t": "sale_product" }), h("select", { name: "product" })),
      inputField("sale_price", "price", { inputmode: "decimal", maxlength: 16 }),
      inputField("sale_stock", "stock", { inputmode: "numeric", maxlength: 7, placeholder: "20" }),
      inputField("per_user", "per_user", { inputmode: "numeric", maxlength: 4, value: 1 }),
      addressField(),
      durationField("opens_in", "opens_in", 10, "s", "h"),
      durationField("open_for", "open_for", 30, "min", "d"),
      durationField("hold_for", "hold_for", 5, "min", "h"),
    ];
  }

  /** Offer the present products of the showcase. */
  async prepare(form) {
    const select = form.elements.product;
    try {
      const { products } = await get(`/v1/rooms/${encodeURIComponent(this.#room)}/showcase`);
      this.#products = new Map(products.map((product) => [product.id, product]));
    } catch (error) {
      return reasonOf(error);
    }
    const chosen = this.#products.has(select.value) ? select.value : this.#pinned();
    const words = ({ title, price_fen }) => `${title} · ${shortMoney(price_fen)}`;
    select.replaceChildren(...[...this.#products.values()].map((product) => h("option", { value: product.id }, words(product))));
    if (this.#products.has(chosen)) select.value = chosen;
    return this.#products.size ? "" : t("sale_no_products");
  }

  read(reading) {
    return {
      product: reading.choice("product"),
      price_fen: reading.fen("price"),
      stock: reading.count("stock", { min: 1, max: STOCK_MAX }),
      per_user_max: reading.count("per_user", { min: 1, max: 1_000 }),
      users_per_address_max: reading.count("users_per_address", PER_ADDRESS),
      opens_in_ms: reading.ms("opens_in", { min: 0, max: HOUR_MS }),
      open_for_ms: reading.ms("open_for", { min: 1_000, max: DAY_MS }),
      hold_ms: reading.ms("hold_for", { min: 1_000, max: HOUR_MS }),
    };
  }

  preview({ product, price_fen, stock }) {
    const usual = this.#products.get(product)?.price_fen;
    if (price_fen === null) return usual === undefined ? "" : t("usual_price", { amount: money(usual) });
    return stock ? t("sale_sum", { amount: timesMoney(price_fen, stock) }) : "";
  }

  review({ product, price_fen, stock, per_user_max, users_per_address_max, opens_in_ms, open_for_ms, hold_ms }) {
    const { title = product, price_fen: usual = Infinity } = this.#products.get(product) ?? {};
    const lines = [
      [t("sale_product"), title],
      [t("sale_price"), usual === Infinity ? money(price_fen) : `${money(price_fen)} (${t("usual_price", { amount: money(usual) })})`],
      [t("sale_stock"), stock],
      [t("per_user"), per_user_max],
      [t("users_per_address"), users_per_address_max || t("any_number")],
      [t("opens_in"), opensWords(opens_in_ms)],
      [t("open_for"), durationWords(open_for_ms)],
      [t("hold_for"), durationWords(hold_ms)],
    ];
    return { sum: t("sale_sum", { amount: timesMoney(price_fen, stock) }), lines, note: price_fen >= usual ? t("note_not_cheaper") : price_fen ? "" : t("note_free") };
  }
}
