/** What came of a red envelope for this viewer, in words. */

import { t } from "../i18n.js";
import { reasonOf } from "../reasons.js";

const GONE = { envelope_empty: "envelope_all_gone", envelope_closed: "envelope_is_over", envelope_not_found: "envelope_is_over" };
const ENDED = { empty: "envelope_all_gone", expired: "envelope_is_over", cancelled: "envelope_taken_back", room_closed: "envelope_is_over" };

/**
 * `{kind, words, fen, turn, untilMs}`; kind is "none" (not tried), "waiting", "won" (`fen` is the share and `turn` whose it was, 0 when not known here), "again" (not
 * yet: not before `untilMs` if that is not 0) or "lost". `fen`: the share that is known, 0 for none; `live`: the connection stands.
 */
export function outcomeOf({ view, phase, close }, tap, fen, live) {
  const outcome = (kind, words, more = {}) => ({ kind, words, fen: 0, turn: 0, untilMs: 0, ...more });
  const won = fen || tap?.result?.amount_fen;
  const code = tap?.phase === "refused" ? tap.error.code : "";
  const turn = tap?.result ? view.parts - tap.result.parts_left : 0;
  if (won || code === "already_grabbed") return outcome("won", t("your_share"), { fen: won ?? 0, turn });
  if (tap?.phase === "parked") return outcome("waiting", lineWords(tap.ahead));
  if (tap?.phase === "sent") return outcome("waiting", t(live ? "grabbing" : "waits"));
  if (GONE[code]) return outcome("lost", t(GONE[code]));
  if (phase === "over") return outcome("lost", t(ENDED[close?.reason] ?? "envelope_is_over"));
  if (code === "condition_not_met" && tap.againMs) return outcome("again", t("watch_more"), { untilMs: tap.againMs });
  if (code === "condition_not_met") return outcome("again", t("say_first", { keyword: view.condition.keyword ?? "" }));
  if (code === "envelope_not_open") return outcome("again", "", { untilMs: tap.againMs });
  return code || tap?.error ? outcome("again", reasonOf(tap.error)) : outcome("none", "");
}

/** How many are before one in a line. */
export function lineWords(ahead) {
  return ahead ? t("in_line", { count: ahead }) : t("next_in_line");
}
