/** Why something did not work, in words. */

import { CommandRefused, CommandUnanswered, Disconnected, TooManyCommands } from "/client/liveroom.js";
import { clock, hasWords, t } from "./i18n.js";

/** Words for whatever a command, a request or a connection failed with. */
export function reasonOf(error) {
  if (error instanceof CommandUnanswered) return t("refused_unanswered");
  if (error instanceof TooManyCommands) return t("refused_overloaded");
  if (error instanceof Disconnected) return t("refused_closed");
  if (!(error instanceof CommandRefused)) return t("unreachable");
  const key = `refused_${error.code}`;
  if (!hasWords(key)) return error.detail || error.code;
  return t(key, { count: Math.max(1, Math.ceil(error.retryAfterMs / 1000)) });
}

/** Words for what is wrong with one field of a command; there may be some for just this code and field. */
export function fieldReason(error) {
  const key = `refused_${error.code}_${(error.field ?? "").replaceAll(".", "_")}`;
  return hasWords(key) ? t(key) : reasonOf(error);
}

/** Words for "muted until ..., because ...". */
export function muteReason(untilMs, reason) {
  return t(reason ? "muted_until_reason" : "muted_until", { time: clock(untilMs), reason });
}

/** Words for "banned until ..., because ...". */
export function banReason({ untilMs, reason }) {
  return t(reason ? "banned_until_reason" : "banned_until", { time: clock(untilMs), reason });
}

/** Words for a connection that ended for good. */
export function closeReason(code, reason) {
  const key = `closed_${code}`;
  return hasWords(key) ? t(key) : t("closed_other", { reason: reason || code });
}
