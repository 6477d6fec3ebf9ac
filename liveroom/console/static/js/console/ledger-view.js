/** The room's accounts: the totals on the card, and every item in a sheet of its own. They are fetched again after money moved. */

import { byId, h } from "../dom.js";
import { get } from "../http.js";
import { t } from "../i18n.js";
import { money } from "../money.js";
import { reasonOf } from "../reasons.js";

const REFRESH_AFTER_MS = 800; // HTTP may be a moment behind the room's own stream; many events are one reading
const REFRESH_EVERY_MS = 3_000; // at most, however much happens
const MONEY_EVENT = /^(red_envelope|coupon|flash_sale|stock)_/;

/** The figures on the card and, for each kind, its totals and the figures of each account. */
const CARD = ["granted_fen", "remaining_fen", "refunded_fen", "gross_fen", "discount_fen", "sold"];
const TOTALS = {
  envelopes: ["total_fen", "granted_fen", "remaining_fen", "refunded_fen"],
  sales: ["stock", "available", "held", "sold", "gross_fen"],
  coupons: ["claimed", "redeemed", "discount_fen"],
};
const ACCOUNTS = {
  envelopes: ["total_fen", "granted_fen", "remaining_fen", "refunded_fen", "shares", "shares_granted"],
  sales: ["stock", "available", "held", "sold", "gross_fen", "price_fen", "discount_fen"],
  coupons: ["claimed", "redeemed", "discount_fen", "stock"],
};
const IDS = { envelopes: "envelope", sales: "sale", coupons: "coupon" };
const NAMES = { envelopes: "red_envelope", sales: "flash_sale", coupons: "coupon" };

export class LedgerView {
  #room;
  #token;
  #mayRead;
  #statement = null;
  #trouble = null; // the error of the last reading
  #timer = null;
  #readMs = -Infinity;

  constructor(room, token, mayRead) {
    this.#room = room;
    this.#token = token;
    this.#mayRead = mayRead;
    byId("ledger").hidden = !mayRead;
    for (const button of document.querySelectorAll(".ledger-refresh")) button.addEventListener("click", ({ currentTarget }) => this.#read(currentTarget));
    byId("ledger-open").addEventListener("click", () => {
      byId("ledger-items").showModal();
      this.#read();
    });
    byId("ledger-items").querySelector("[data-act=dismiss]").addEventListener("click", () => byId("ledger-items").close());
  }

  onEvent({ type }) {
    if (MONEY_EVENT.test(type)) this.#readSoon();
  }

  onJoined() {
    this.#readSoon();
  }

  redraw() {
    this.#draw();
  }

  #readSoon() {
    if (!this.#mayRead) return;
    this.#timer ??= setTimeout(() => this.#read(), Math.max(REFRESH_AFTER_MS, this.#readMs + REFRESH_EVERY_MS - performance.now()));
  }

  async #read(control = null) {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#readMs = performance.now();
    control?.setAttribute("aria-busy", "true");
    try {
      const statement = await get(`/v1/rooms/${encodeURIComponent(this.#room)}/ledger`, this.#token);
      if (statement.seq >= (this.#statement?.seq ?? -1)) this.#statement = statement; // answers may overtake each other
      this.#trouble = null;
    } catch (error) {
      this.#trouble = error;
    }
    control?.removeAttribute("aria-busy");
    this.#draw();
  }

  #draw() {
    const trouble = byId("ledger").querySelector(".ledger-trouble");
    trouble.hidden = !this.#trouble;
    trouble.textContent = this.#trouble ? reasonOf(this.#trouble) : "";
    if (this.#trouble?.code === "ledger_broken") this.#statement = null; // no numbers that may be wrong
    const { totals } = this.#statement ?? {};
    byId("ledger-open").hidden = !totals;
    byId("ledger-totals").replaceChildren(...(totals ? CARD.map((name) => figure(name, totals[name])) : []));
    byId("ledger-accounts").replaceChildren(...(totals ? this.#accounts() : []));
  }

  #accounts() {
    const { totals, omitted } = this.#statement;
    const kinds = Object.keys(ACCOUNTS).filter((kind) => totals[kind]);
    const parts = kinds.map((kind) =>
      h(
        "section",
        { "data-kind": kind },
        h("h3", { class: "label" }, `${t(NAMES[kind])} · ${totals[kind]}`),
        h("dl", { class: "figures totals" }, TOTALS[kind].map((name) => figure(name, totals[name]))),
        h("ul", { class: "rows" }, [...this.#statement[kind]].reverse().map((account) => this.#account(kind, account))),
      ),
    );
    if (omitted) parts.push(h("p", { class: "meta" }, t("ledger_omitted", { count: omitted })));
    return parts.length ? parts : [h("p", { class: "meta" }, t("ledger_empty"))];
  }

  #account(kind, account) {
    return h(
      "li",
      { class: "account", [`data-${IDS[kind]}`]: account[IDS[kind]], "data-state": account.state },
      h("header", {}, h("strong", {}, account.title), h("span", { class: "number" }, t("number", { number: account[IDS[kind]] })), h("span", { class: "tag" }, t(`state_${account.state}`))),
      h("dl", { class: "figures" }, ACCOUNTS[kind].map((name) => figure(name, account[name]))),
    );
  }
}

function figure(name, value) {
  return h("div", { class: value ? "" : "none" }, h("dt", {}, t(`ledger_${name}`)), h("dd", { "data-show": name }, name.endsWith("_fen") ? money(value) : value));
}
