/** Tokens come in the address as `#token=...`; they are kept per room in this tab and taken off the address at once. */

const keptAs = (room) => `liveroom.token.${room}`;

/** The room that this page's address names. */
export function roomOfPage() {
  return decodeURIComponent(location.pathname.split("/")[2] ?? "");
}

/** The token for `room`, from the address or from before; `null` when there is none. */
export function takeToken(room) {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(keptAs(room), given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return given ?? sessionStorage.getItem(keptAs(room));
}

/** A new link pasted over this page: begin anew with its token. */
export function reloadOnNewToken() {
  addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());
}

/** The command that makes a token for `room`, as it works in a checkout beside `make run`. */
export function tokenCommand(room, role) {
  return `.venv/bin/liveroom token --mode dev --room ${room} --user me --role ${role}`;
}

/** What a token says about its holder, unchecked: for display only. */
export function claimsOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}
