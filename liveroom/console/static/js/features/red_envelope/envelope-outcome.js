/** The outcome of a red envelope for this viewer, in words. */

import { t } from "../../i18n.js";
import { reasonOf } from "../../reasons.js";
import { queueWords } from "../../viewer/queue-words.js";

const GONE = { envelope_empty: "envelope_all_gone", envelope_closed: "envelope_is_over", envelope_not_found: "envelope_is_over" };
const ENDED = { empty: "envelope_all_gone", expired: "envelope_is_over", cancelled: "envelope_taken_back", room_closed: "envelope_is_over" };

/**
 * The outcome as `{kind, words, fen, turn, untilMs}`. Kinds:
 *
 * - `none`: not tried yet.
 * - `waiting`: a grab is under way.
 * - `won`: `fen` is the share and `turn` the number of the grab, 0 if this page does not know it.
 * - `again`: too early; try again, not before `untilMs` unless that is 0.
 * - `lost`: the envelope went to others, or it is over.
 *
 * The argument `fen` is the share if it is known, else 0. `live` says that the connection is up.
 */
export function outcomeOf({ view, phase, close }, tap, fen, live) {
  const outcome = (kind, words, more = {}) => ({ kind, words, fen: 0, turn: 0, untilMs: 0, ...more });
  const won = fen || tap?.result?.amount_fen;
  const code = tap?.phase === "refused" ? tap.error.code : "";
  const turn = tap?.result ? view.shares - tap.result.shares_left : 0;
  if (won || code === "already_grabbed") return outcome("won", t("your_share"), { fen: won ?? 0, turn });
  if (tap?.phase === "queued") return outcome("waiting", queueWords(tap.ahead));
  if (tap?.phase === "sent") return outcome("waiting", t(live ? "grabbing" : "waits"));
  if (GONE[code]) return outcome("lost", t(GONE[code]));
  if (phase === "over") return outcome("lost", t(ENDED[close?.reason] ?? "envelope_is_over"));
  if (code === "condition_not_met" && tap.againMs) return outcome("again", t("watch_more"), { untilMs: tap.againMs });
  if (code === "condition_not_met") return outcome("again", t("say_first", { keyword: view.condition.keyword ?? "" }));
  if (code === "envelope_not_open") return outcome("again", "", { untilMs: tap.againMs });
  return code || tap?.error ? outcome("again", reasonOf(tap.error)) : outcome("none", "");
}
