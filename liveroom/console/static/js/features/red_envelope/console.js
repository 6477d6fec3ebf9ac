/** Red envelopes in the console: the form to drop one, the live ones, the results, and the ledger's entry. */

import { ask } from "../../ask.js";
import { addressWords, endButton, fillNumbers, foot, legend, makeCard } from "../../console/offer-card.js";
import { t } from "../../i18n.js";
import { money, shortMoney } from "../../money.js";
import { drawStock, stockBar } from "../../stock-bar.js";
import { conditionWords } from "./condition.js";
import { DROP } from "./drop-form.js";
import { EnvelopeResults } from "./results.js";

/** The envelopes' entry in the ledger. */
const ACCOUNT = {
  kind: "envelopes",
  id: "envelope",
  title: "red_envelope",
  isNews: (type) => type.startsWith("red_envelope_"),
  card: ["granted_fen", "remaining_fen", "refunded_fen"],
  totals: ["total_fen", "granted_fen", "remaining_fen", "refunded_fen"],
  figures: ["total_fen", "granted_fen", "remaining_fen", "refunded_fen", "shares", "shares_granted"],
};

/** Put them into the page. */
export function mount({ push, mayAnchor }) {
  const results = new EnvelopeResults();
  const cancel = async ({ envelope, title, total_fen }, control) => {
    if (!(await ask(t("cancel_envelope"), t("cancel_envelope_sure", { title, amount: money(total_fen) }), t("cancel_envelope")))) return;
    await push("cancel_red_envelope", { envelope }, { control, confirm: t("done") });
  };
  return {
    launch: DROP,
    offers: {
      list: ({ envelopes }) => envelopes.toReversed(), // the newest first
      key: ({ envelope, open }) => `envelope ${envelope} ${open}`,
      make: (view) => makeEnvelope(view, mayAnchor && cancel),
      update: updateEnvelope,
    },
    account: ACCOUNT,
    show: ({ state }) => results.show(state),
    onEvent: (event) => results.onEvent(event),
    redraw: () => results.redraw(),
  };
}

function makeEnvelope(view, cancel) {
  const { envelope, title, total_fen, shares, split, condition, users_per_address_max = 0, open, opens_ms, closes_ms } = view;
  const who = conditionWords(condition);
  return makeCard(
    { class: "envelope", "data-envelope": envelope, "data-state": open ? "open" : "announced" },
    "envelope",
    title,
    open ? ["closes_in", closes_ms] : ["opens_in_now", opens_ms],
    [t("number", { number: envelope }), t("envelope_meta", { amount: shortMoney(total_fen), shares }), t(`split_${split}`), who, addressWords(users_per_address_max)],
    stockBar(["taken", "left"]),
    foot(
      legend(["left", "shares_left", t("shares_left")], ["left", "left_fen", t("money_left")]),
      cancel && !open && endButton("cancel", "cancel_envelope", (control) => cancel(view, control)),
    ),
  );
}

function updateEnvelope(card, { shares, shares_left, left_fen }) {
  fillNumbers(card, { shares_left: `${shares_left} / ${shares}`, left_fen: money(left_fen) });
  const words = `${t("shares_left")}: ${shares_left} / ${shares}`;
  drawStock(card.querySelector(".stock-bar"), { taken: shares - shares_left, left: shares_left }, words);
}
