/** The features' parts of the viewer page, kept right by the room and by the clock. */

import { entitlementsOf } from "/client/liveroom.js";
import { isOut } from "../connection.js";
import { runCountdowns } from "../countdown.js";
import { byId, h } from "../dom.js";
import { callAll, mountAll } from "../features/parts.js";
import { newCommandId } from "../http.js";
import { onLanguage, t } from "../i18n.js";
import { Taps } from "./taps.js";

/** The longest time without an update by the clock. */
const LOOK_EVERY_MS = 30_000;
/** Most texts kept for screen readers, so that simultaneous ones are read in turn. */
const TOLD_MAX = 5;
/** The people who run the room may not take its offers. */
const CLAIMANTS = new Set(["viewer", "moderator"]);

export class Parts {
  #room;
  #nowMs;
  #state;
  #parts;
  #drawCountdowns;
  #drawing = false;
  #stale = false; // something changed while the parts were drawn
  #timer = null;

  /** Mount `features`. `room` is `null` for a user who may only watch; `state()` gives the room's state, `nowMs()` the server's clock. */
  constructor(features, { room, name, state, nowMs }) {
    const taps = room && new Taps(room, name, sessionStorage, newCommandId);
    const changed = () => this.draw();
    this.#room = room;
    this.#state = state;
    this.#nowMs = nowMs;
    this.#drawCountdowns = runCountdowns(nowMs);
    this.#parts = mountAll(features, { room, name, taps, tell, changed });
    taps?.addEventListener("changed", changed);
    room?.addEventListener("event", ({ detail }) => callAll(this.#parts, "onEvent", detail));
    room?.addEventListener("personal", ({ detail }) => callAll(this.#parts, "onPersonal", detail));
    room?.addEventListener("entitlements", () => setTimeout(changed)); // the event that changed them comes first
    onLanguage(() => {
      if (!state()) return;
      callAll(this.#parts, "redraw");
      this.draw();
    });
  }

  /** Draw all parts, and again at the times that they name. Nothing is drawn before the first state. */
  draw() {
    if (!this.#state()) return;
    this.#stale = true;
    if (this.#drawing) return;
    this.#drawing = true;
    let dueMs = Infinity;
    while (this.#stale) {
      this.#stale = false;
      dueMs = this.#show();
    }
    this.#drawing = false;
    this.#drawCountdowns();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.draw(), Math.min(LOOK_EVERY_MS, dueMs - this.#nowMs()));
  }

  /** Gives the time at which a part looks different without any news. */
  #show() {
    const room = this.#room;
    const { user = null, role = "" } = room?.joined ?? {};
    const whyNot = !room ? t("no_token_viewer") : isOut(room) ? t("closed_4502") : CLAIMANTS.has(role) ? "" : t("only_viewers");
    const entitlements = room?.entitlements ?? entitlementsOf({});
    const seen = { state: this.#state(), entitlements, nowMs: this.#nowMs(), me: user, whyNot, live: room?.status === "live" };
    return Math.min(Infinity, ...callAll(this.#parts, "show", seen).map((due) => due ?? Infinity));
  }
}

/** Announce words to screen readers. */
function tell(words) {
  const told = byId("told");
  told.append(h("p", {}, words));
  while (told.children.length > TOLD_MAX) told.firstChild.remove();
}
