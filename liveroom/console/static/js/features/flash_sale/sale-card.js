/** One flash sale: its stock, the order, and this viewer's holds. */

import { countdown } from "../../countdown.js";
import { fill, h, icon, ready, reconcile, whenReady } from "../../dom.js";
import { lang, t, tAround } from "../../i18n.js";
import { money } from "../../money.js";
import { picture } from "../../product.js";
import { reasonOf } from "../../reasons.js";
import { drawStock, stockBar } from "../../stock-bar.js";
import { queueWords } from "../../viewer/queue-words.js";
import { discountFen, usable } from "../coupon/price.js";
import { discountWords, minimumWords } from "../coupon/terms.js";
import { isOver, stockWords } from "./stock.js";

const KINDS = ["sold", "held", "available"];

/** `acts` are `reserve(quantity, code)`, `cancel(hold)`, `read()` (the notice was read) and `changed()`, which redraws. */
export class SaleCard {
  #acts;
  #quantity = 1;
  #code = null; // the coupon that was chosen, "" for none; `null`: the best one
  #chosen = ""; // the coupon of the order as it is shown
  #order = null; // what the button orders
  #parts;

  constructor(sale, acts) {
    this.#acts = acts;
    const parts = {
      picture: h("div", { class: "sale-picture" }),
      tag: h("span", { class: "tag" }),
      title: h("strong", {}),
      price: h("span", { class: "sale-price" }),
      when: h("span", { class: "sale-when" }),
      bar: stockBar(KINDS),
      stock: h("p", { class: "stock-legend" }, KINDS.map((kind) => h("span", { class: kind, "data-kind": kind }))),
      less: h("button", { type: "button", class: "step less", onclick: whenReady(() => this.#step(-1)) }, "−"),
      count: h("output", { class: "quantity" }),
      more: h("button", { type: "button", class: "step more", onclick: whenReady(() => this.#step(1)) }, "+"),
      coupon: h("select", { class: "use-coupon", onchange: ({ target }) => this.#choose(target.value) }),
      buy: h("button", { type: "button", class: "primary reserve", onclick: whenReady(() => acts.reserve(this.#order.quantity, this.#order.code)) }),
      says: h("p", { class: "sale-says", role: "status" }),
      notice: h("p", { class: "sale-notice" }),
      holds: h("ul", { class: "holds" }),
      bought: h("p", { class: "bought" }),
    };
    this.#parts = parts;
    parts.stepper = h("div", { class: "stepper", role: "group" }, parts.less, parts.count, parts.more);
    this.element = h(
      "article",
      { class: "sale", "data-sale": sale },
      h("div", { class: "sale-head" }, parts.picture, h("div", { class: "sale-words" }, h("p", {}, parts.tag, " ", parts.when), parts.title, parts.price)),
      parts.bar,
      parts.stock,
      parts.notice,
      parts.holds,
      parts.bought,
      h("div", { class: "sale-order" }, parts.stepper, parts.coupon, parts.buy),
      parts.says,
    );
  }

  /** Show the sale's present state; `tap` is the last order, `own` the viewer's `{holds, bought, coupons}`. */
  draw({ sale, product, own, tap, cancels, notice, nowMs, whyNot, live }) {
    const phase = sale.state === "closed" || nowMs >= sale.closes_ms ? "closed" : sale.state === "open" || nowMs >= sale.opens_ms ? "open" : "announced";
    this.element.dataset.state = phase;
    this.element.classList.toggle("is-over", isOver(sale) || phase === "closed");
    this.element.classList.toggle("is-held", own.holds.length > 0);
    this.#parts.buy.classList.toggle("primary", !own.holds.length); // who holds a unit shall not take this for "pay"
    this.#drawHead(sale, product, phase);
    this.#drawStock(sale);
    this.#drawHolds(own.holds, cancels, nowMs);
    this.#drawOrder(sale, phase, own, { tap, nowMs, whyNot, live });
    this.#drawNotice(notice);
    this.#parts.bought.hidden = !own.bought || notice?.kind === "paid"; // the notice says so
    this.#parts.bought.textContent = t("bought_units", { count: own.bought });
  }

  #drawHead(sale, product, phase) {
    const { picture: place, tag, title, price, when, bar, stock } = this.#parts;
    fill(place, `${sale.title} ${product?.image_url ?? ""}`, () => [picture({ title: sale.title || "?", image_url: product?.image_url })]);
    tag.textContent = t("flash_sale");
    title.textContent = sale.title || t("sale_number", { number: sale.sale });
    const usual = product && product.price_fen > sale.price_fen ? product.price_fen : 0;
    fill(price, `${sale.price_fen} ${usual} ${lang}`, () => [
      h("b", { class: "price" }, money(sale.price_fen)),
      ...(usual ? [" ", h("s", { "aria-label": t("usual_price", { amount: money(usual) }) }, money(usual))] : []),
    ]);
    const dueMs = phase === "announced" ? sale.opens_ms : sale.closes_ms;
    const soldOut = isOver(sale);
    fill(when, `${phase} ${soldOut} ${dueMs} ${lang}`, () => {
      if (phase === "closed") return [t("sale_over")];
      if (soldOut) return [t("sold_out")];
      return tAround(phase === "announced" ? "opening_in" : "ending_in", countdown(dueMs));
    });
    price.hidden = sale.unknown ?? false;
    bar.hidden = stock.hidden = sale.gone ?? false; // the room tells its stock no more
    when.hidden = phase === "announced"; // the button says so
  }

  #drawStock(sale) {
    drawStock(this.#parts.bar, sale, stockWords(sale));
    for (const part of this.#parts.stock.children) {
      const { kind } = part.dataset;
      fill(part, `${sale[kind]} ${lang}`, () => tAround(`stock_${kind}`, h("b", {}, String(sale[kind]))));
    }
  }

  #drawOrder(sale, phase, { holds, bought, coupons }, { tap, nowMs, whyNot, live }) {
    const { stepper, less, more, count, buy, says } = this.#parts;
    const units = holds.reduce((sum, { quantity }) => sum + quantity, bought);
    const allowed = sale.per_user_max - units;
    const { available, held } = sale;
    const most = Math.max(1, available ? Math.min(allowed, available) : allowed);
    this.#quantity = Math.min(this.#quantity, most);
    const spend = sale.price_fen * this.#quantity;
    const off = this.#drawCoupons(usable(coupons, spend, nowMs), spend);
    this.#order = { quantity: this.#quantity, code: this.#chosen };
    const waits = tap?.phase === "sent" || tap?.phase === "queued";

    const shown = phase !== "closed" && allowed > 0;
    this.element.querySelector(".sale-order").hidden = !shown;
    stepper.hidden = allowed <= 1 || phase === "announced";
    stepper.setAttribute("aria-label", t("quantity"));
    less.setAttribute("aria-label", t("fewer"));
    more.setAttribute("aria-label", t("more_units"));
    ready(less, this.#quantity > 1 && !waits);
    ready(more, this.#quantity < most && !waits);
    count.textContent = this.#quantity;

    const there = available > 0 || held > 0;
    ready(buy, !whyNot && phase === "open" && there && !waits && nowMs >= (tap?.againMs ?? 0), waits);
    buy.title = whyNot;
    const amount = money(spend - off);
    const label = phase === "announced" ? "opens" : waits ? "ordering" : available ? "buy_for" : held ? "buy_returned" : "sold_out";
    fill(buy, `${label} ${amount} ${sale.opens_ms} ${lang}`, () => (label === "opens" ? tAround("opening_in", countdown(sale.opens_ms)) : [t(label, { amount })]));
    const words = wordsOf(tap, nowMs, live) || (shown || phase === "closed" ? "" : t("your_limit", { count: sale.per_user_max }));
    if (says.textContent !== words) says.textContent = words;
    says.hidden = !words;
    says.classList.toggle("bad", tap?.phase === "refused");
  }

  /** Offer the usable coupons. The user's choice, or else the best one, is selected; returns its discount. */
  #drawCoupons(coupons, spend) {
    const { coupon: select } = this.#parts;
    const offs = new Map(coupons.map(({ code, terms }) => [code, discountFen(terms, spend)]));
    const best = [...offs.keys()][0] ?? "";
    const wished = this.#code === null ? best : this.#code;
    const chosen = offs.get(wished) ? wished : "";
    select.hidden = !coupons.length;
    select.setAttribute("aria-label", t("use_coupon"));
    fill(select, `${JSON.stringify(coupons)} ${spend} ${lang}`, () => [
      h("option", { value: "" }, t("no_coupon")),
      ...coupons.map(({ code, terms }) => {
        const words = offs.get(code) ? discountWords(terms) : `${discountWords(terms)}, ${minimumWords(terms)}`;
        return h("option", { value: code, disabled: !offs.get(code) }, `${words} · ${code.slice(-4)}`);
      }),
    ]);
    if (select.value !== chosen) select.value = chosen;
    this.#chosen = chosen;
    return offs.get(chosen) ?? 0;
  }

  #drawHolds(holds, cancels, nowMs) {
    reconcile(this.#parts.holds, holds, {
      key: ({ hold }) => `${hold} ${lang}`,
      make: (hold) => this.#makeHold(hold),
      update: (element, { hold, until_ms }) => {
        const over = until_ms <= nowMs;
        const tap = cancels(hold);
        const waits = tap?.phase === "sent" || tap?.phase === "queued";
        element.querySelector(".hold-state").textContent = t(over ? "hold_running_out" : "waiting_for_payment");
        ready(element.querySelector(".cancel"), !waits && !over, waits);
      },
    });
  }

  #makeHold({ hold, quantity, until_ms, due_fen, discount_fen = 0 }) {
    return h(
      "li",
      { class: "hold", "data-hold": hold },
      h(
        "div",
        { class: "hold-words" },
        h("p", {}, ...tAround("to_pay", h("b", { class: "hold-due" }, money(due_fen)))),
        h("small", {}, t("held_for_you", { count: quantity }), " · ", h("span", { class: "hold-state" })),
        discount_fen > 0 && h("small", {}, t("discounted", { amount: money(discount_fen) })),
      ),
      countdown(until_ms, { class: "hold-left", "aria-label": t("hold_time_left") }),
      h("button", { type: "button", class: "ghost cancel", onclick: whenReady(() => this.#acts.cancel(hold)) }, t("cancel_hold")),
    );
  }

  #drawNotice(notice) {
    const { notice: place } = this.#parts;
    place.hidden = !notice;
    const words = notice ? noticeWords(notice) : "";
    place.dataset.kind = notice?.kind ?? "";
    fill(place, words, () =>
      words ? [h("span", {}, words), h("button", { type: "button", class: "read", "aria-label": t("close"), onclick: () => this.#acts.read() }, icon("close"))] : [],
    );
  }

  #step(by) {
    this.#quantity = Math.max(1, this.#quantity + by);
    this.#acts.changed();
  }

  #choose(code) {
    this.#code = code;
    this.#acts.changed();
  }
}

/** The outcome of holds, in words: kind "paid", "given_back" or "ran_out". */
export function noticeWords({ kind, units, fen }) {
  return t(`hold_${kind}`, { count: units, amount: money(fen) });
}

/** Time for which a refusal is shown. */
export const REFUSAL_SHOWN_MS = 10_000;

function wordsOf(tap, nowMs, live) {
  if (tap?.phase === "queued") return queueWords(tap.ahead);
  if (tap?.phase === "sent") return live ? "" : t("waits");
  return tap?.phase === "refused" && nowMs < tap.settledMs + REFUSAL_SHOWN_MS ? reasonOf(tap.error) : "";
}
