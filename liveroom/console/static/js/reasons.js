/** Error texts. */

import { CommandRefused, CommandUnanswered, Disconnected, TooManyCommands } from "/client/liveroom.js";
import { clock, hasWords, t } from "./i18n.js";

/** The text for the error of a command, a request or a connection. */
export function reasonOf(error) {
  if (error instanceof CommandUnanswered) return t("refused_unanswered");
  if (error instanceof TooManyCommands) return t("refused_overloaded");
  if (error instanceof Disconnected) return t("refused_closed");
  if (!(error instanceof CommandRefused)) return t("unreachable");
  const key = `refused_${error.code}`;
  if (!hasWords(key)) return error.detail || error.code;
  return t(key, { count: Math.max(1, Math.ceil(error.retryAfterMs / 1000)) });
}

/** The text for an error in one field of a command; a code may have its own text for this field. */
export function fieldReason(error) {
  const key = `refused_${error.code}_${(error.field ?? "").replaceAll(".", "_")}`;
  return hasWords(key) ? t(key) : reasonOf(error);
}

/** The text "muted until ..., because ...". */
export function muteReason(untilMs, reason) {
  return t(reason ? "muted_until_reason" : "muted_until", { time: clock(untilMs), reason });
}

/** The text "banned until ..., because ...". */
export function banReason({ untilMs, reason }) {
  return t(reason ? "banned_until_reason" : "banned_until", { time: clock(untilMs), reason });
}

/** The text for a connection that will not come back. */
export function closeReason(code, reason) {
  const key = `closed_${code}`;
  return hasWords(key) ? t(key) : t("closed_other", { reason: reason || code });
}
