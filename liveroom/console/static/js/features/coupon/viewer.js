/** The coupon tray of the viewer page: coupons to claim, the user's own codes, and the red envelopes they won. */

import { countdown } from "../../countdown.js";
import { byId, h, icon, ready, reconcile, whenReady } from "../../dom.js";
import { clock, lang, t, tAround } from "../../i18n.js";
import { putAt } from "../../place.js";
import { reasonOf } from "../../reasons.js";
import { makeSheet, wireSheet } from "../../sheet.js";
import { drawStock, stockBar } from "../../stock-bar.js";
import { queueWords } from "../../viewer/queue-words.js";
import { drawShares } from "../red_envelope/shares.js";
import { discountWords, minimumWords } from "./terms.js";

/** An end is counted down from this long before. */
const NEAR_MS = 3_600_000;
const COPIED_MS = 2_000;
const HOLD_ORDER = "hold-";

const keyOf = (coupon) => `claim ${coupon}`;

/** Put them into the page. */
export function mount(page) {
  const group = (id, title, list) => [h("h3", { id: `${id}-title`, "data-t": title }), h("ul", { id, class: list })];
  putAt("chips", h("button", { id: "open-coupons", class: "chip coupon-chip", type: "button", hidden: true }, icon("ticket"), h("span")));
  const tray = [group("claimable", "coupons_claimable", "tickets"), group("own-coupons", "coupons_own", "tickets"), group("shares", "shares_won", "shares")];
  putAt("sheets", makeSheet("coupons", "coupons", h("div", { class: "tray" }, tray.flat())));
  return new Coupons(page);
}

class Coupons {
  #room;
  #taps;

  constructor({ room, taps }) {
    this.#room = room;
    this.#taps = taps;
    wireSheet(byId("coupons"), byId("open-coupons"));
  }

  show({ state, entitlements, nowMs, whyNot }) {
    const { coupons, shares, holds } = entitlements;
    const offers = state.coupons.filter(({ claimable_until_ms }) => claimable_until_ms > nowMs);
    const owned = (coupon) => coupons.filter((own) => own.coupon === coupon).length;
    const rows = offers.map((offer) => ({ ...offer, owned: owned(offer.coupon), tap: this.#taps?.of(keyOf(offer.coupon)) }));
    const toClaim = rows.filter((row) => row.left && row.owned < row.per_user_max).length;
    this.#drawChip(toClaim, offers.length + coupons.length + shares.length);
    this.#drawOffers(rows.reverse(), whyNot);
    this.#drawOwn(coupons, holds, nowMs);
    byId("shares-title").hidden = !shares.length;
    drawShares(byId("shares"), shares);
    const dues = [...offers.map(({ claimable_until_ms }) => claimable_until_ms), ...coupons.flatMap(({ valid_until_ms: end }) => [end - NEAR_MS, end])];
    return Math.min(Infinity, ...dues.filter((due) => due > nowMs));
  }

  #drawChip(toClaim, all) {
    const chip = byId("open-coupons");
    chip.hidden = !all && !byId("coupons").open;
    chip.lastElementChild.textContent = toClaim ? t("coupons_to_claim", { count: toClaim }) : t("coupons");
    chip.classList.toggle("is-new", toClaim > 0);
  }

  #drawOffers(rows, whyNot) {
    byId("claimable-title").hidden = !rows.length;
    reconcile(byId("claimable"), rows, {
      key: ({ coupon }) => `${coupon} ${lang}`,
      make: (row) => this.#makeOffer(row),
      update: (element, row) => this.#drawOffer(element, row, whyNot),
    });
  }

  #makeOffer({ coupon, title, terms, claimable_until_ms }) {
    const claim = () => this.#taps?.tap(keyOf(coupon), { type: "claim_coupon", coupon });
    return h(
      "li",
      { class: "ticket", "data-coupon": coupon },
      worth(terms),
      h(
        "div",
        { class: "ticket-words" },
        h("strong", {}, title),
        h("small", {}, minimumWords(terms)),
        stockBar(["taken", "left"]),
        h("small", { class: "ticket-left" }),
        h("small", {}, ...tAround("claim_ends_in", countdown(claimable_until_ms))),
        h("small", { class: "ticket-says", role: "status" }),
      ),
      h("button", { type: "button", class: "primary claim", "aria-label": t("claim_label", { title }), onclick: whenReady(claim) }),
    );
  }

  #drawOffer(element, { left, stock, per_user_max, owned, tap }, whyNot) {
    const words = t("coupons_of_stock", { left, stock });
    drawStock(element.querySelector(".stock-bar"), { taken: stock - left, left }, words);
    element.querySelector(".ticket-left").textContent = per_user_max > 1 ? `${words} · ${t("coupons_had", { owned, most: per_user_max })}` : words;
    const waits = tap?.phase === "sent" || tap?.phase === "queued";
    const full = owned >= per_user_max;
    const button = element.querySelector(".claim");
    ready(button, !waits && !full && left > 0 && !whyNot, waits);
    button.textContent = t(full ? "claimed" : !left ? "gone" : waits ? "claiming" : "claim");
    button.title = whyNot;
    element.dataset.state = full ? "claimed" : left ? (waits ? tap.phase : "open") : "gone";
    const says = element.querySelector(".ticket-says");
    const words_now = this.#wordsOf(tap, full);
    if (says.textContent !== words_now) says.textContent = words_now;
  }

  #wordsOf(tap, full) {
    if (tap?.phase === "queued") return queueWords(tap.ahead);
    if (tap?.phase === "sent") return this.#room.status === "live" ? "" : t("waits");
    if (tap?.phase === "done") return t("coupon_claimed");
    if (tap?.phase === "refused" && !full) return reasonOf(tap.error);
    return "";
  }

  #drawOwn(coupons, holds, nowMs) {
    byId("own-coupons-title").hidden = !coupons.length;
    const held = new Set(holds.map(({ hold }) => `${HOLD_ORDER}${hold}`));
    const rows = coupons.map((own) => ({ ...own, ...stateOf(own, held, nowMs) })).reverse();
    rows.sort((one, other) => ORDER[one.state] - ORDER[other.state]);
    reconcile(byId("own-coupons"), rows, { key: ({ code, state, near }) => `${code} ${state} ${near} ${lang}`, make: (row) => this.#makeOwn(row) });
  }

  #makeOwn({ code, title, terms, valid_until_ms, state, near }) {
    const until = near ? tAround("code_valid_for", countdown(valid_until_ms)) : [t("code_valid_until", { time: clock(valid_until_ms) })];
    const copy = h("button", { type: "button", class: "copy", "aria-label": t("copy_label", { code }) }, icon("copy"), h("span", {}, t("copy")));
    const shown = h("code", { class: "code" }, code);
    copy.addEventListener("click", () => copyFrom(shown, copy));
    return h(
      "li",
      { class: "ticket own", "data-code": code, "data-state": state },
      worth(terms),
      h(
        "div",
        { class: "ticket-words" },
        h("strong", {}, title),
        h("small", {}, minimumWords(terms)),
        h("div", { class: "code-row" }, shown, state === "usable" && copy),
        h("small", { class: "ticket-state" }, ...(state === "usable" ? until : [t(`code_${state}`)])),
      ),
    );
  }
}

const ORDER = { usable: 0, reserved: 1, used: 2, expired: 3 };

function stateOf({ order = "", valid_until_ms }, held, nowMs) {
  if (order) return { state: held.has(order) ? "reserved" : "used", near: false };
  return nowMs < valid_until_ms ? { state: "usable", near: valid_until_ms - nowMs <= NEAR_MS } : { state: "expired", near: false };
}

async function copyFrom(shown, button) {
  const code = shown.textContent;
  try {
    await navigator.clipboard.writeText(code);
  } catch {
    getSelection().selectAllChildren(shown); // a page without TLS may not write to the clipboard: marked, it can be copied by hand
    return;
  }
  const label = (key) => {
    button.lastChild.textContent = t(key);
    button.setAttribute("aria-label", t(key === "copy" ? "copy_label" : key, { code }));
  };
  label("copied");
  setTimeout(() => label("copy"), COPIED_MS);
}

/** A coupon's discount, large, on its stub. */
function worth(terms) {
  return h("span", { class: "ticket-worth" }, discountWords(terms));
}
