/** Red envelopes on the viewer page: chips on the stage, and one open card. */

import { countdown } from "../../countdown.js";
import { byId, fill, h, icon, reconcile, toast } from "../../dom.js";
import { lang, t } from "../../i18n.js";
import { money, shortMoney } from "../../money.js";
import { putAt } from "../../place.js";
import { reasonOf } from "../../reasons.js";
import { EnvelopeCard, makeCard } from "./envelope-card.js";
import { outcomeOf } from "./envelope-outcome.js";
import { EnvelopeQueue } from "./envelope-queue.js";

const keyOf = (envelope) => `grab ${envelope}`;

/** Put them into the page. */
export function mount(page) {
  putAt("chips", h("div", { id: "envelope-chips" }));
  putAt("stage", makeCard());
  return new Envelopes(page);
}

class Envelopes {
  #room;
  #taps;
  #tell;
  #changed;
  #queue = new EnvelopeQueue();
  #card;
  #said = new Set(); // envelopes whose keyword was said here
  #told = new Map(); // envelope -> the last that was told of it

  constructor({ room, taps, tell, changed }) {
    this.#room = room;
    this.#taps = taps;
    this.#tell = tell;
    this.#changed = changed;
    this.#card = new EnvelopeCard({
      grab: ({ envelope }) => taps?.tap(keyOf(envelope), { type: "grab_red_envelope", envelope }),
      say: (item) => this.#say(item),
      putAside: () => this.#putAside(),
    });
  }

  onEvent(event) {
    if (event.type === "red_envelope_closed") this.#queue.close(event);
  }

  show({ state, entitlements, nowMs, me, whyNot, live }) {
    const busy = (envelope) => this.#taps?.waits(keyOf(envelope));
    const before = this.#queue.top;
    const focused = this.#card.focused;
    this.#queue.show(state.envelopes, nowMs, { busy, held: () => this.#card.held });
    const shares = new Map(entitlements.shares.map(({ envelope, amount_fen }) => [envelope, amount_fen]));
    const outcomes = new Map(
      this.#queue.items.map((item) => [item, outcomeOf(item, this.#taps?.of(keyOf(item.envelope)), shares.get(item.envelope) ?? 0, live)]),
    );
    const { top } = this.#queue;
    for (const [item, outcome] of outcomes) this.#announce(item, outcome, item === top);
    this.#card.draw(top, outcomes.get(top), { nowMs, me, said: this.#said.has(top?.envelope), whyNot });
    this.#drawChips(outcomes, top);
    if (focused && !top) chipOf(before?.envelope)?.focus();
    this.#forgetOld();
    const waits = [...outcomes.values()].map(({ untilMs }) => untilMs).filter((untilMs) => untilMs > nowMs);
    return Math.min(this.#queue.dueMs(nowMs), ...waits);
  }

  #drawChips(outcomes, top) {
    reconcile(byId("envelope-chips"), [...outcomes].filter(([item]) => item !== top), {
      key: ([{ envelope }]) => envelope,
      make: ([{ envelope }]) =>
        h("button", { type: "button", class: "chip envelope-chip", "data-envelope": envelope, onclick: () => this.#choose(envelope) }, icon("envelope"), h("span", {})),
      update: (chip, [{ view, phase }, outcome]) => {
        Object.assign(chip.dataset, { phase, outcome: outcome.kind });
        const words = chipWords(phase, outcome);
        fill(chip.lastChild, `${phase} ${words} ${view.opens_ms} ${lang}`, () => (words ? [words] : [countdown(view.opens_ms)]));
        chip.setAttribute("aria-label", `${t("red_envelope")}: ${view.title}. ${words || t("opens_soon")}`);
      },
    });
  }

  #choose(envelope) {
    this.#queue.choose(envelope);
    this.#changed();
    this.#card.focus();
  }

  #putAside() {
    const { envelope } = this.#queue.top;
    this.#queue.putAside();
    this.#changed();
    chipOf(envelope)?.focus();
  }

  async #say({ envelope, view }) {
    this.#said.add(envelope);
    this.#changed();
    try {
      await this.#room.sendChat(view.condition.keyword);
      this.#taps.forget(keyOf(envelope)); // what it was refused for is done
    } catch (error) {
      this.#said.delete(envelope);
      toast(reasonOf(error), "bad");
    }
    this.#changed();
  }

  #forgetOld() {
    const known = new Set(this.#queue.items.map(({ envelope }) => envelope));
    for (const envelope of this.#told.keys()) if (!known.has(envelope)) this.#told.delete(envelope);
    for (const envelope of this.#said) if (!known.has(envelope)) this.#said.delete(envelope);
  }

  /** Announce the news of an envelope; coins fly for a share that arrived just now. */
  #announce({ envelope, view, phase }, outcome, isTop) {
    const news = outcome.kind === "none" ? phase : outcome.kind === "won" ? "won" : `${outcome.kind} ${outcome.words}`;
    const before = this.#told.get(envelope);
    if (before === news) return;
    this.#told.set(envelope, news);
    if (outcome.kind === "won") {
      if (before === undefined) return; // a share from before this page
      if (isTop) this.#card.celebrate();
      if (before !== "won") this.#tell(outcome.fen ? t("you_won", { amount: money(outcome.fen) }) : outcome.words);
    } else if (outcome.kind === "none") this.#tell(t(phase === "open" ? "envelope_opened" : "envelope_announced", { title: view.title }));
    else if (outcome.words) this.#tell(outcome.words);
  }
}

const chipOf = (envelope) => document.querySelector(`.envelope-chip[data-envelope="${envelope}"]`);

function chipWords(phase, { kind, fen }) {
  if (kind === "won") return fen ? shortMoney(fen) : t("yours");
  if (kind === "waiting") return t("waiting");
  if (phase === "over") return t("over");
  return phase === "open" ? t("grab") : "";
}
