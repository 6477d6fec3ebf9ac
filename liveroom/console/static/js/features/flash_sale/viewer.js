/** Flash sales on the viewer page: a card for each, with this viewer's holds. */

import { byId, h, reconcile, toast } from "../../dom.js";
import { t } from "../../i18n.js";
import { money } from "../../money.js";
import { putAt } from "../../place.js";
import { reasonOf } from "../../reasons.js";
import { Products } from "./products.js";
import { REFUSAL_SHOWN_MS, SaleCard, noticeWords } from "./sale-card.js";
import { isOver } from "./stock.js";

/** The row does not scroll by itself for this time after the user touched a card. */
const TOUCHED_MS = 4_000;
const QUIET = matchMedia("(prefers-reduced-motion: reduce)");

/** Most sales that are remembered; the newest stay. */
const KEPT_MAX = 100;

/** A sale that this page never saw. */
const UNKNOWN = { product: "", title: "", price_fen: 0, available: 0, held: 0, sold: 0, per_user_max: 0, opens_ms: 0, closes_ms: 0, unknown: true };

const reserveKey = (sale) => `reserve ${sale}`;
const cancelKey = (hold) => `cancel ${hold}`;

/** Put them into the page. */
export function mount(page) {
  putAt("panel", h("div", { id: "sales", class: "sales" }));
  return new Sales(page);
}

class Sales {
  #taps;
  #tell;
  #changed;
  #cards = new Map(); // sale -> SaleCard
  #views = new Map(); // sale -> it, as last seen
  #products;
  #holds = new Map(); // hold -> it, as last seen
  #notices = new Map(); // sale -> {kind, units, fen}: what became of holds
  #buyable = null; // sales that could be bought at the last look, `null` before the first
  #first = null; // the sale that came first at the last look
  #wanted = null; // the sale to bring into sight
  #touchedMs = -Infinity; // when a card was touched last, of `performance.now()`

  constructor({ name, taps, tell, changed }) {
    this.#products = new Products(name, changed);
    this.#taps = taps;
    this.#tell = tell;
    this.#changed = changed;
    taps?.addEventListener("settled", ({ detail }) => this.#settled(detail));
    for (const type of ["pointerdown", "pointermove", "touchmove", "wheel", "keydown"]) {
      byId("sales").addEventListener(type, () => (this.#touchedMs = performance.now()), { passive: true });
    }
  }

  show({ state, entitlements, nowMs, whyNot, live }) {
    if (state.pinned) this.#products.see(state.pinned);
    this.#seeLost(entitlements, nowMs);
    for (const sale of state.sales) keep(this.#views, sale.sale, sale);
    const sales = this.#withOwn(state.sales, entitlements.holds);
    this.#products.want(sales.filter(({ product }) => product).map(({ product }) => product), state.showcase_version ?? 0);
    reconcile(byId("sales"), sales, {
      key: ({ sale }) => sale,
      make: ({ sale }) => this.#make(sale),
      update: (_, sale) => {
        const own = { holds: entitlements.holds.filter((hold) => hold.sale === sale.sale), bought: entitlements.bought[sale.sale] ?? 0, coupons: entitlements.coupons };
        this.#cards.get(sale.sale).draw({
          sale,
          product: this.#products.get(sale.product),
          own,
          tap: this.#taps?.of(reserveKey(sale.sale)),
          cancels: (hold) => this.#taps?.of(cancelKey(hold)),
          notice: this.#notices.get(sale.sale),
          nowMs,
          whyNot,
          live,
        });
      },
    });
    return Math.min(this.#dueMs(sales, entitlements.holds, nowMs), nowMs + this.#bringIntoSight(sales));
  }

  /** Scroll to a new sale, unless the viewer is busy with another card; returns the ms until the next check. */
  #bringIntoSight(sales) {
    const buyable = sales.filter((sale) => sale.state === "open" && !isOver(sale)).map(({ sale }) => sale);
    const first = sales[0]?.sale ?? null;
    const come = this.#buyable && buyable.filter((sale) => !this.#buyable.has(sale));
    if (come?.length) this.#wanted = Math.max(...come);
    else if (this.#buyable && first !== this.#first) this.#wanted = first;
    this.#buyable = new Set(buyable);
    this.#first = first;
    const element = sales.some(({ sale }) => sale === this.#wanted) ? this.#cards.get(this.#wanted).element : null;
    if (!element) return Infinity;
    const row = byId("sales");
    if ([...row.children].some((other) => other !== element && other.querySelector(".hold, .sale-notice:not([hidden]), select:focus"))) return Infinity;
    const stillMs = this.#touchedMs + TOUCHED_MS - performance.now();
    if (stillMs > 0 && !element.matches(":focus-within")) return stillMs;
    this.#wanted = null;
    row.scrollTo({ left: element.offsetLeft - row.offsetLeft, behavior: QUIET.matches ? "instant" : "smooth" });
    return Infinity;
  }

  /**
   * All sales in the order of display: the user's own holds and unread notices, even of ended sales; open sales; announced ones; ended ones.
   * Each group begins with its newest.
   */
  #withOwn(sales, holds) {
    const shown = new Set(sales.map(({ sale }) => sale));
    const held = new Set(holds.map(({ sale }) => sale));
    const others = [...new Set([...held, ...this.#notices.keys()])].filter((sale) => !shown.has(sale));
    const over = others.map((sale) => ({ ...(this.#views.get(sale) ?? UNKNOWN), sale, state: "closed", gone: true }));
    const rank = (sale) => (held.has(sale.sale) || this.#notices.has(sale.sale) ? 0 : isOver(sale) ? 3 : sale.state === "open" ? 1 : 2);
    return [...sales, ...over].sort((one, other) => rank(one) - rank(other) || other.sale - one.sale);
  }

  #make(sale) {
    const card = new SaleCard(sale, {
      reserve: (quantity, code) => {
        this.#notices.delete(sale);
        this.#taps?.tap(reserveKey(sale), { type: "reserve_stock", sale, quantity, ...(code && { coupon_code: code }) });
      },
      cancel: (hold) => this.#taps?.tap(cancelKey(hold), { type: "cancel_hold", hold }),
      read: () => {
        this.#notices.delete(sale);
        this.#changed();
      },
      changed: this.#changed,
    });
    keep(this.#cards, sale, card);
    return card.element;
  }

  #dueMs(sales, holds, nowMs) {
    const times = sales.flatMap(({ sale, opens_ms, closes_ms }) => {
      const { againMs = 0, settledMs = 0 } = this.#taps?.of(reserveKey(sale)) ?? {};
      return [opens_ms, closes_ms, againMs, settledMs + REFUSAL_SHOWN_MS];
    });
    return Math.min(Infinity, ...[...times, ...holds.map(({ until_ms }) => until_ms)].filter((due) => due > nowMs));
  }

  /** Announces the end of a hold. */
  onPersonal({ type, hold, sale, quantity, paid_fen }) {
    const units = this.#holds.get(hold)?.quantity ?? 0;
    if (type === "hold_confirmed") this.#notice(sale, hold, "paid", quantity, paid_fen);
    if (type === "hold_cancelled") this.#notice(sale, hold, "given_back", units);
    if (type === "hold_expired") this.#notice(sale, hold, "ran_out", units);
  }

  /** Keep one notice per sale: an unread one of the same kind is added to. */
  #notice(sale, hold, kind, units, fen = 0) {
    this.#holds.delete(hold);
    const last = this.#notices.get(sale);
    const unread = last?.kind === kind ? last : { units: 0, fen: 0 };
    const notice = { kind, units: unread.units + units, fen: unread.fen + fen };
    keep(this.#notices, sale, notice);
    this.#tell(noticeWords(notice));
    this.#changed();
  }

  /** Handle holds that ended while this page was away, with an unknown outcome. */
  #seeLost({ holds, bought }, nowMs) {
    const open = new Set(holds.map(({ hold }) => hold));
    for (const { hold, sale, quantity, until_ms, boughtBefore } of [...this.#holds.values()]) {
      if (open.has(hold)) continue;
      this.#holds.delete(hold);
      if ((bought[sale] ?? 0) > boughtBefore) continue; // paid: what was bought is shown
      this.#notice(sale, hold, until_ms <= nowMs ? "ran_out" : "given_back", quantity);
    }
    for (const hold of holds) this.#holds.set(hold.hold, { ...hold, boughtBefore: bought[hold.sale] ?? 0 });
  }

  #settled({ key, tap }) {
    if (key.startsWith("cancel ") && tap.phase === "refused") toast(reasonOf(tap.error), "bad");
    if (key.startsWith("reserve ") && tap.phase === "done") this.#tell(t("held_told", { count: tap.command.quantity, amount: money(tap.result.due_fen) }));
  }
}

function keep(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > KEPT_MAX) map.delete(map.keys().next().value);
}
