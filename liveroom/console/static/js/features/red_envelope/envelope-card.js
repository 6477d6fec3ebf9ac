/** The card of one red envelope: waiting, grabbing, and the outcome. */

import { countdown } from "../../countdown.js";
import { byId, fill, h, icon, ready, whenReady } from "../../dom.js";
import { lang, t, tAround } from "../../i18n.js";
import { money } from "../../money.js";
import { conditionWords } from "./condition.js";
import { CAN_CHECK, fits, sharesOf } from "./fairness.js";

const COINS = 16; // that fly when a share is won
const QUIET = matchMedia("(prefers-reduced-motion: reduce)");

/** The elements of the card. */
export function makeCard() {
  return h(
    "section",
    { id: "envelope", class: "envelope stage-card", tabindex: "-1", "aria-labelledby": "envelope-title", hidden: true },
    h("button", { id: "put-aside", class: "round", type: "button", "data-t-label": "put_aside" }, icon("close")),
    h("div", { class: "envelope-head" }, h("h2", { id: "envelope-title" }), h("p", { id: "envelope-sum" })),
    h(
      "div",
      { class: "envelope-seal" },
      h("button", { id: "grab", class: "grab stage-act", type: "button" }),
      h("p", { id: "envelope-share", hidden: true }),
      h("div", { id: "envelope-coins", "aria-hidden": "true" }),
    ),
    h(
      "div",
      { class: "envelope-foot" },
      h("p", { id: "envelope-words", hidden: true }),
      h("p", { id: "envelope-terms", hidden: true }, h("span", { id: "envelope-terms-words" }), " ", h("button", { id: "say-keyword", type: "button" })),
      h("p", { class: "envelope-numbers" }, h("span", { id: "envelope-left" }), " ", h("span", { id: "envelope-when" })),
      h("h3", { id: "envelope-best-title", "data-t": "best_luck", hidden: true }),
      h("ol", { id: "envelope-best", hidden: true }),
      h("p", { id: "envelope-back", hidden: true }),
      h(
        "details",
        { id: "envelope-fair", hidden: true },
        h("summary", { "data-t": "fair_title" }),
        h("p", { id: "envelope-fair-words" }),
        h(
          "dl",
          {},
          h("dt", { "data-t": "fair_commitment" }),
          h("dd", { id: "envelope-commitment" }),
          h("dt", { "data-t": "fair_seed" }),
          h("dd", { id: "envelope-seed" }),
        ),
      ),
    ),
  );
}

/** The card in the page; `acts` are `grab(item)`, `say(item)` and `putAside()`. */
export class EnvelopeCard {
  #item = null;
  #element = byId("envelope");
  #grab = byId("grab");

  constructor(acts) {
    this.#grab.addEventListener("click", whenReady(() => acts.grab(this.#item)));
    byId("say-keyword").addEventListener("click", () => acts.say(this.#item));
    byId("put-aside").addEventListener("click", () => acts.putAside());
  }

  /** True while the user reads the card. */
  get held() {
    return !this.#element.hidden && (byId("envelope-fair").open || this.#element.matches(":hover, :focus-within:not(:focus)"));
  }

  focus() {
    this.#element.focus();
  }

  get focused() {
    return this.#element.contains(document.activeElement);
  }

  /** Show an item of the queue with its outcome, or nothing when it is `null`; `me` is the viewer's id, `said`: the keyword was said. */
  draw(item, outcome, { nowMs, me, said, whyNot }) {
    if (item !== this.#item) byId("envelope-fair").open = false;
    this.#item = item;
    this.#element.hidden = !item;
    if (!item) return;
    const { view, phase } = item;
    Object.assign(this.#element.dataset, { envelope: item.envelope, phase, outcome: outcome.kind });
    byId("envelope-title").textContent = view.title;
    byId("envelope-sum").textContent = t(`envelope_sum_${view.split}`, { amount: money(view.total_fen), count: view.shares });
    this.#drawTerms(item, outcome, said);
    this.#drawOutcome(outcome, whyNot);
    this.#drawGrab(item, outcome, nowMs, whyNot);
    byId("envelope-left").hidden = phase !== "open";
    byId("envelope-left").textContent = t("envelope_shares_left", { count: view.shares_left, all: view.shares });
    this.#drawEnd(item, outcome, me);
  }

  /** Let coins fly for a share that was just won. */
  celebrate() {
    if (QUIET.matches) return;
    const coins = Array.from({ length: COINS }, (_, place) => {
      const coin = h("i", {}, "¥");
      const angle = (place / COINS + Math.random() / COINS) * 2 * Math.PI;
      const far = 70 + Math.random() * 80;
      coin.style.setProperty("--x", `${Math.round(Math.cos(angle) * far)}px`);
      coin.style.setProperty("--y", `${Math.round(Math.sin(angle) * far)}px`);
      return coin;
    });
    byId("envelope-coins").replaceChildren(...coins);
    this.#element.classList.remove("is-fresh");
    void this.#element.offsetWidth; // begins the animation anew
    this.#element.classList.add("is-fresh");
  }

  #drawTerms({ view, phase }, { kind }, said) {
    const words = conditionWords(view.condition);
    byId("envelope-terms").hidden = !words || phase === "over" || ["won", "lost"].includes(kind);
    byId("envelope-terms-words").textContent = t("terms", { terms: words });
    const { keyword = "" } = view.condition ?? {};
    const say = byId("say-keyword");
    say.hidden = !keyword;
    say.disabled = said;
    say.textContent = t(said ? "said" : "say_it", { keyword });
  }

  #drawOutcome({ kind, words, fen, untilMs }, whyNot) {
    byId("envelope-share").hidden = !(kind === "won" && fen);
    byId("envelope-share").textContent = fen ? money(fen) : "";
    const text = kind === "won" && !fen ? t("refused_already_grabbed") : words || (kind === "none" ? whyNot : "");
    byId("envelope-words").hidden = !text;
    fill(byId("envelope-words"), `${text} ${untilMs}`, () => (untilMs ? [text, " ", countdown(untilMs)] : [text]));
  }

  #drawGrab({ view, phase }, { kind, untilMs }, nowMs, whyNot) {
    const shown = phase !== "over" && kind !== "won" && kind !== "lost";
    if (!shown && document.activeElement === this.#grab) this.focus();
    this.#grab.hidden = !shown;
    ready(this.#grab, !whyNot && phase === "open" && kind !== "waiting" && nowMs >= untilMs, kind === "waiting");
    this.#grab.title = whyNot;
    fill(this.#grab, `${phase} ${view.opens_ms} ${lang}`, () => (phase === "announced" ? [countdown(view.opens_ms)] : [t("grab")]));
    byId("envelope-when").hidden = !shown;
    const key = phase === "announced" ? "opening_in" : "ending_in";
    const dueMs = phase === "announced" ? view.opens_ms : view.closes_ms;
    fill(byId("envelope-when"), `${key} ${dueMs} ${lang}`, () => tAround(key, countdown(dueMs)));
  }

  #drawEnd({ view, close }, outcome, me) {
    const best = byId("envelope-best");
    best.hidden = !close?.best?.length;
    byId("envelope-best-title").hidden = best.hidden;
    const rows = (close?.best ?? []).map((one) => ({ ...one, mine: one.user === me }));
    fill(best, JSON.stringify(rows), () =>
      rows.map(({ name, amount_fen, mine }) => h("li", { class: mine ? "mine" : null }, h("bdi", {}, name), h("b", {}, money(amount_fen)))),
    );
    const back = close?.refunded_fen ?? 0;
    byId("envelope-back").hidden = !back;
    byId("envelope-back").textContent = t("went_back", { amount: money(back) });
    byId("envelope-fair").hidden = !close;
    byId("envelope-commitment").textContent = view.commitment;
    byId("envelope-seed").textContent = close?.seed ?? "";
    if (close) this.#drawFair(view, close.seed, outcome);
  }

  /** Show the result of this browser's check of the seed and, for the viewer's own turn, of the share. */
  async #drawFair(view, seed, { fen, turn }) {
    const words = byId("envelope-fair-words");
    const key = `${seed} ${turn} ${lang}`;
    if (words.dataset.key === key) return;
    words.dataset.key = key;
    const right = CAN_CHECK ? (await fits(seed, view.commitment)) && (!turn || (await sharesOf(seed, view))[turn - 1] === fen) : null;
    if (words.dataset.key !== key) return; // another envelope by now
    words.textContent = t(right === null ? "fair" : !right ? "fair_broken" : turn ? "fair_checked_share" : "fair_checked", { turn });
    Object.assign(byId("envelope-fair").dataset, { fits: String(right), turn });
  }
}
