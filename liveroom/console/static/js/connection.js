/** The banner with the state of the connection. */

import { byId, h, withCode } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { banReason, closeReason } from "./reasons.js";

/** After this many failed first attempts, the banner names another possible cause. */
const ATTEMPTS_TO_DOUBT = 3;
const CLOSE_UNTOLD = 1006; // no closing words: the server is away, or said no before the upgrade, which browsers do not tell apart
const banKeptAs = (name) => `liveroom.ban.${name}`;

/** True while this user is not let in, so that no offer is for them. */
export function isOut(room) {
  return room.status === "banned" || room.status === "closed";
}

/** Show the state of `room`'s connection in `#banner` and as `data-connection` on the page; `name` is the room's. */
export function showConnection(room, name) {
  const banner = byId("banner");
  let lost = null; // {code, reason} of the last connection
  let dueMs = 0; // of `performance.now()`
  let attempts = 0;
  let ticking = null;

  const button = (words) => h("button", { type: "button", onclick: () => room.retryNow() }, words);
  const parts = {
    connecting: () => [h("span", {}, t("connecting"))],
    live: () => [h("span", {}, room.interruption ? t("interrupted") : "")],
    closed: () => [h("span", {}, closeReason(lost.code, lost.reason))],
    unauthorized: () => [h("span", {}, closeReason(lost.code, lost.reason)), button(t("retry_now"))],
    replaced: () => [h("span", {}, t("closed_4003")), button(t("use_this_window"))],
    banned: () => [h("span", {}, banReason(keptBan(name, room.ban)), h("small", {}, t("banned_back")))],
    reconnecting() {
      const seconds = Math.ceil((dueMs - performance.now()) / 1000);
      const words = lost?.code === 4004 ? t("closed_4004") : seconds > 0 ? t("reconnecting", { count: seconds }) : t("reconnecting_now");
      const doubtful = !room.joined && lost?.code === CLOSE_UNTOLD && attempts >= ATTEMPTS_TO_DOUBT;
      return [h("span", {}, words, doubtful ? h("small", {}, ...withCode(t("origin_hint"))) : ""), button(t("retry_now"))];
    },
  };
  const draw = () => {
    document.body.dataset.connection = room.status;
    document.body.classList.toggle("out", isOut(room));
    banner.hidden = room.status === "live" && !room.interruption;
    banner.replaceChildren(...parts[room.status]());
    if (room.status === "reconnecting") return void (ticking ??= setInterval(draw, 1_000));
    clearInterval(ticking);
    ticking = null;
  };

  room.addEventListener("disconnected", ({ detail }) => (lost = detail));
  room.addEventListener("reconnecting", ({ detail }) => {
    dueMs = performance.now() + detail.delayMs;
    attempts = detail.attempt;
  });
  room.addEventListener("closed", ({ detail }) => (lost = detail));
  for (const type of ["joined", "interruption", "reconnecting", "replaced", "closed"]) room.addEventListener(type, draw);
  onLanguage(draw);
  draw();
}

/** The ban with its reason. The server sends the reason once, so this tab keeps it over a reload. */
function keptBan(name, ban) {
  if (ban.reason) sessionStorage.setItem(banKeptAs(name), JSON.stringify(ban));
  const kept = JSON.parse(sessionStorage.getItem(banKeptAs(name)) ?? "null");
  return kept?.untilMs === ban.untilMs ? kept : ban;
}
