/** The banner that says how the connection is. */

import { byId, h, withCode } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { closeReason } from "./reasons.js";

/** So many failed attempts, without ever having been in the room, and the banner says what else it may be. */
const ATTEMPTS_TO_DOUBT = 3;
const CLOSE_UNTOLD = 1006; // no closing words: the server is away, or said no before the upgrade, which browsers do not tell apart

/** Show the state of `room`'s connection in `#banner` and as `data-connection` on the page. */
export function showConnection(room) {
  const banner = byId("banner");
  let ban = null;
  let lost = null; // {code, reason} of the last connection
  let dueMs = 0;
  let attempts = 0;
  let ticking = null;

  const draw = () => {
    document.body.dataset.connection = room.status;
    banner.hidden = room.status === "live" && !room.interruption;
    if (room.status === "live" && room.interruption) banner.replaceChildren(h("span", {}, t("interrupted")));
    if (room.status === "connecting") banner.replaceChildren(h("span", {}, t("connecting")));
    if (room.status === "closed") banner.replaceChildren(h("span", {}, closeReason(lost.code, lost.reason, ban)));
    if (room.status === "reconnecting") {
      const seconds = Math.ceil((dueMs - Date.now()) / 1000);
      const words = lost.code === 4004 ? t("closed_4004") : seconds > 0 ? t("reconnecting", { count: seconds }) : t("reconnecting_now");
      const doubtful = !room.joined && lost.code === CLOSE_UNTOLD && attempts >= ATTEMPTS_TO_DOUBT;
      const hint = doubtful && h("small", {}, ...withCode(t("origin_hint")));
      banner.replaceChildren(h("span", {}, words, hint || ""), h("button", { type: "button", onclick: () => room.retryNow() }, t("retry_now")));
    }
  };
  const stop = () => {
    clearInterval(ticking);
    ticking = null;
  };

  room.addEventListener("joined", () => (stop(), draw()));
  room.addEventListener("interruption", draw);
  room.addEventListener("banned", ({ detail }) => (ban = { until_ms: detail.untilMs, reason: detail.reason }));
  room.addEventListener("disconnected", ({ detail }) => (lost = detail));
  room.addEventListener("reconnecting", ({ detail }) => {
    dueMs = Date.now() + detail.delayMs;
    attempts = detail.attempt;
    ticking ??= setInterval(draw, 1_000);
    draw();
  });
  room.addEventListener("closed", ({ detail }) => {
    lost = detail;
    stop();
    draw();
  });
  onLanguage(draw);
  draw();
}
