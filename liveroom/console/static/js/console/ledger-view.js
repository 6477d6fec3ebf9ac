/** The room's accounts: the totals on the card, and every item in a sheet of its own. They are fetched again after money moved. */

import { byId, h } from "../dom.js";
import { get } from "../http.js";
import { t } from "../i18n.js";
import { money } from "../money.js";
import { reasonOf } from "../reasons.js";

const REFRESH_AFTER_MS = 800; // HTTP may be a moment behind the room's own stream; many events are one reading
const REFRESH_EVERY_MS = 3_000; // at most, however much happens

/**
 * Shows the statement over the `account` of each feature's part:
 *
 *     kind            the field of the statement that lists its accounts, and of the totals that counts them
 *     id, title       the field with an account's number, and the key of the kind's words
 *     isNews(type)    true if an event of this type moves money
 *     card            fields of the totals that stand on the card
 *     totals, figures fields of the totals and of each account in the sheet
 */
export class LedgerView {
  #kinds;
  #room;
  #token;
  #mayRead;
  #statement = null;
  #trouble = null; // the error of the last reading
  #timer = null;
  #readMs = -Infinity;

  constructor(parts, room, token, mayRead) {
    this.#kinds = parts.map(({ account }) => account).filter(Boolean);
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
    if (this.#kinds.some(({ isNews }) => isNews(type))) this.#readSoon();
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
    byId("ledger-totals").replaceChildren(...(totals ? this.#kinds.flatMap(({ card }) => card.map((name) => figure(name, totals[name]))) : []));
    byId("ledger-accounts").replaceChildren(...(totals ? this.#accounts() : []));
  }

  #accounts() {
    const { totals, omitted } = this.#statement;
    const parts = this.#kinds
      .filter(({ kind }) => totals[kind])
      .map((one) =>
        h(
          "section",
          { "data-kind": one.kind },
          h("h3", { class: "label" }, `${t(one.title)} · ${totals[one.kind]}`),
          h("dl", { class: "figures totals" }, one.totals.map((name) => figure(name, totals[name]))),
          h("ul", { class: "rows" }, [...this.#statement[one.kind]].reverse().map((account) => makeAccount(one, account))),
        ),
      );
    if (omitted) parts.push(h("p", { class: "meta" }, t("ledger_omitted", { count: omitted })));
    return parts.length ? parts : [h("p", { class: "meta" }, t("ledger_empty"))];
  }
}

function makeAccount({ id, figures }, account) {
  return h(
    "li",
    { class: "account", [`data-${id}`]: account[id], "data-state": account.state },
    h(
      "header",
      {},
      h("strong", {}, account.title),
      h("span", { class: "number" }, t("number", { number: account[id] })),
      h("span", { class: "tag" }, t(`state_${account.state}`)),
    ),
    h("dl", { class: "figures" }, figures.map((name) => figure(name, account[name]))),
  );
}

function figure(name, value) {
  return h("div", { class: value ? "" : "none" }, h("dt", {}, t(`ledger_${name}`)), h("dd", { "data-show": name }, name.endsWith("_fen") ? money(value) : value));
}
