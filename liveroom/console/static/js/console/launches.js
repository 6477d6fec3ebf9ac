/** The forms to launch a red envelope, a coupon or a flash sale. */

import { byId, h } from "../dom.js";
import { get } from "../http.js";
import { t } from "../i18n.js";
import { money, shortMoney } from "../money.js";
import { conditionWords, discountWords, durationWords, minimumWords } from "../offers.js";
import { reasonOf } from "../reasons.js";
import { LaunchForm } from "./launch-form.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const YEAR_MS = 366 * DAY_MS;
const STOCK_MAX = 1_000_000;
const PER_ADDRESS = { min: 1, max: 10_000, empty: 0 };

const ENVELOPE = {
  command: "drop_red_envelope",
  inputs: {
    total_fen: "total",
    shares: "shares",
    split: "split",
    title: "title",
    opens_in_ms: "opens_in",
    open_for_ms: "open_for",
    users_per_address_max: "users_per_address",
    "condition.keyword": "keyword",
    "condition.watched_s": "watched_s",
  },
  read(reading) {
    const chosen = reading.choice("condition");
    const condition = {};
    if (chosen === "keyword") condition.keyword = reading.text("keyword", { required: true });
    if (chosen === "watched") condition.watched_s = reading.count("watched_s", { min: 1, max: 7_200 });
    return {
      total_fen: reading.fen("total", { min: 1 }),
      shares: reading.count("shares", { min: 1, max: 10_000 }),
      split: reading.choice("split"),
      title: reading.text("title"),
      opens_in_ms: reading.ms("opens_in", { min: 0, max: HOUR_MS }),
      open_for_ms: reading.ms("open_for", { min: 1_000, max: DAY_MS }),
      users_per_address_max: reading.count("users_per_address", PER_ADDRESS),
      condition,
    };
  },
  preview({ total_fen, shares }) {
    return total_fen && shares ? t("share_about", { amount: money(Math.floor(total_fen / shares)) }) : "";
  },
  review({ total_fen, shares, split, title, opens_in_ms, open_for_ms, users_per_address_max, condition }) {
    const lines = [
      [t("envelope_shares"), `${shares} · ${t(`split_${split}`)}`],
      [t("opens_in"), opensWords(opens_in_ms)],
      [t("open_for"), durationWords(open_for_ms)],
      [t("envelope_condition"), conditionWords(condition) || t("who_anyone")],
      [t("users_per_address"), users_per_address_max || t("any_number")],
      [t("offer_title"), title],
    ];
    return { sum: t("envelope_sum", { amount: money(total_fen) }), lines, note: "" };
  },
};

const COUPON = {
  command: "issue_coupon",
  inputs: {
    title: "title",
    terms: "kind",
    "terms.amount_fen": "amount",
    "terms.percent_off": "percent",
    "terms.discount_max_fen": "discount_max",
    "terms.min_spend_fen": "min_spend",
    stock: "stock",
    per_user_max: "per_user",
    users_per_address_max: "users_per_address",
    claimable_ms: "claimable_for",
    valid_ms: "valid_for",
  },
  read(reading) {
    const byAmount = reading.choice("kind") === "amount";
    const reduction = byAmount
      ? { amount_fen: reading.fen("amount", { min: 1 }) }
      : { percent_off: reading.count("percent", { min: 1, max: 100 }), discount_max_fen: reading.fen("discount_max", { empty: 0 }) };
    const terms = { ...reduction, min_spend_fen: reading.fen("min_spend", { empty: 0 }) };
    return {
      title: reading.text("title") || (isWhole(terms) ? discountWords(terms) : ""),
      terms,
      stock: reading.count("stock", { min: 1, max: STOCK_MAX }),
      per_user_max: reading.count("per_user", { min: 1, max: 100 }),
      users_per_address_max: reading.count("users_per_address", PER_ADDRESS),
      claimable_ms: reading.ms("claimable_for", { min: 1_000, max: YEAR_MS }),
      valid_ms: reading.ms("valid_for", { min: 1_000, max: YEAR_MS }),
    };
  },
  preview({ terms }) {
    return isWhole(terms) ? `${discountWords(terms)} · ${minimumWords(terms)}` : "";
  },
  review({ title, terms, stock, per_user_max, users_per_address_max, claimable_ms, valid_ms }) {
    const each = terms.amount_fen || terms.discount_max_fen;
    const lines = [
      [t("coupon_kind"), `${discountWords(terms)} · ${minimumWords(terms)}`],
      [t("coupon_stock"), stock],
      [t("per_user"), per_user_max],
      [t("users_per_address"), users_per_address_max || t("any_number")],
      [t("claimable_for"), durationWords(claimable_ms)],
      [t("valid_for"), durationWords(valid_ms)],
      [t("offer_title"), title],
    ];
    const free = terms.amount_fen >= terms.min_spend_fen || terms.percent_off === 100;
    return {
      sum: each ? t("coupon_sum", { amount: times(each, stock) }) : t("coupon_sum_unbounded", { count: stock }),
      lines,
      note: free ? t("note_free_orders") : "",
    };
  },
};

class SalePlan {
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

  /** `pinned()` gives the id of the product being explained, if any: it is chosen first. */
  constructor(room, pinned) {
    this.#room = room;
    this.#pinned = pinned;
  }

  /** Offer the showcase's products of now. */
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
    return stock ? t("sale_sum", { amount: times(price_fen, stock) }) : "";
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
    return { sum: t("sale_sum", { amount: times(price_fen, stock) }), lines, note: price_fen >= usual ? t("note_not_cheaper") : price_fen ? "" : t("note_free") };
  }
}

const isWhole = ({ amount_fen, percent_off, discount_max_fen = 0, min_spend_fen }) => Boolean(amount_fen || percent_off) && discount_max_fen !== null && min_spend_fen !== null;
const opensWords = (ms) => (ms ? durationWords(ms) : t("at_once"));
const times = (fen, count) => money(BigInt(fen) * BigInt(count)); // may be more than a number holds

/** The buttons that open the forms; for those who may launch. */
export class Launches {
  #forms;
  #pinned = null;

  constructor(room, push, mayAnchor) {
    const sale = new SalePlan(room, () => this.#pinned);
    this.#forms = { envelope: new LaunchForm("envelope", ENVELOPE, push), coupon: new LaunchForm("coupon", COUPON, push), sale: new LaunchForm("sale", sale, push) };
    byId("launches").hidden = !mayAnchor;
    byId("launches").addEventListener("click", ({ target }) => this.#forms[target.closest("[data-launch]")?.dataset.launch]?.open());
  }

  show(state) {
    this.#pinned = state.pinned?.id ?? null;
    for (const button of byId("launches").children) {
      button.disabled = !state.open;
      button.title = state.open ? "" : t("room_ended");
    }
  }

  redraw() {
    for (const form of Object.values(this.#forms)) form.redraw();
  }
}
