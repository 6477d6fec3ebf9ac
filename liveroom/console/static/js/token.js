/** Tokens come in the address as `#token=...`; they are kept per room in this tab and removed from the address at once. */

import { ask } from "./ask.js";
import { hasWords, t } from "./i18n.js";

const keptAs = (room) => `liveroom.token.${room}`;

/** The room that this page's address names. */
export function roomOfPage() {
  return decodeURIComponent(location.pathname.split("/")[2] ?? "");
}

/**
 * The token for `room`, from the address or from before; `null` when there is none. A link with another user's token counts only if
 * the present user agrees. Its author may want them to act, and pay, as somebody else.
 */
export async function takeToken(room) {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  const kept = sessionStorage.getItem(keptAs(room));
  if (!given) return kept;
  history.replaceState(null, "", location.pathname + location.search);
  if (kept && !isSameHolder(claimsOf(kept), claimsOf(given)) && !(await agrees(claimsOf(kept), claimsOf(given)))) return kept;
  sessionStorage.setItem(keptAs(room), given);
  return given;
}

const isSameHolder = (one, other) => one.sub === other.sub && one.role === other.role && one.sub !== undefined;

function agrees(kept, given) {
  const words = { kept: holderWords(kept), given: holderWords(given) };
  return ask(t("other_token_title"), t("other_token", words), t("other_token_take", { name: nameOf(given) }), t("other_token_keep"));
}

const nameOf = ({ sub, name }) => [name, sub].find((one) => typeof one === "string" && one) ?? t("unknown_holder");

function holderWords({ sub, name, role }) {
  if (typeof sub !== "string") return t("unknown_holder");
  const roleKey = `role_${role}`;
  return t("holder", { name: nameOf({ sub, name }), user: sub, role: hasWords(roleKey) ? t(roleKey) : String(role) });
}

/** Reload when a new link is pasted over this page, to start with its token. */
export function reloadOnNewToken() {
  addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());
}

/** The command that makes a token for `room`, as it works in a checkout beside `make run`. */
export function tokenCommand(room, role) {
  return `.venv/bin/liveroom token --mode dev --room ${room} --user me --role ${role}`;
}

/** A token's claims about its holder. They are unchecked, so they are for display only. */
export function claimsOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims ? claims : {};
  } catch {
    return {};
  }
}
