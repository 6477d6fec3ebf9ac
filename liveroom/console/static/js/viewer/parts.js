/** Money on the viewer page: red envelopes, coupons and flash sales, kept right by the room and by the clock. */

import { isOut } from "../connection.js";
import { runCountdowns } from "../countdown.js";
import { byId, h } from "../dom.js";
import { newCommandId } from "../http.js";
import { t } from "../i18n.js";
import { Coupons } from "../features/coupon/viewer.js";
import { Envelopes } from "../features/red_envelope/viewer.js";
import { Sales } from "../features/flash_sale/viewer.js";
import { Taps } from "./taps.js";

/** The longest time without a look at the clock. */
const LOOK_EVERY_MS = 30_000;
/** Words for screen readers that are kept, so that what comes at once is read in turn. */
const TOLD_MAX = 5;
/** The people who run the room may not take its offers. */
const CLAIMANTS = new Set(["viewer", "moderator"]);
const NOTHING = { shares: [], coupons: [], holds: [], bought: {} };

export class Deals {
  #room;
  #nowMs;
  #parts;
  #drawCountdowns;
  #state = null;
  #showing = false;
  #stale = false; // something changed while it was shown
  #timer = null;

  /** `room` is `null` for who only looks on; `nowMs()` is the server's clock. */
  constructor({ room, name, nowMs }) {
    const taps = room && new Taps(room, name, sessionStorage, newCommandId);
    const changed = () => this.#state && this.show(this.#state);
    this.#room = room;
    this.#nowMs = nowMs;
    this.#drawCountdowns = runCountdowns(nowMs);
    const more = { room, name, taps, tell, changed };
    this.#parts = [new Envelopes(more), new Coupons(more), new Sales(more)];
    taps?.addEventListener("changed", changed);
    for (const type of ["joined", "reconnecting", "closed"]) room?.addEventListener(type, changed);
    room?.addEventListener("entitlements", () => setTimeout(changed)); // the event that changed it comes first
  }

  /** Follow the room's state; looks at it again when the clock says so. */
  show(state) {
    this.#state = state;
    this.#stale = true;
    if (this.#showing) return;
    this.#showing = true;
    let dueMs = Infinity;
    while (this.#stale) {
      this.#stale = false;
      dueMs = this.#show();
    }
    this.#showing = false;
    this.#drawCountdowns();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.show(this.#state), Math.min(LOOK_EVERY_MS, dueMs - this.#nowMs()));
  }

  /** Gives when something would look different without any news. */
  #show() {
    const nowMs = this.#nowMs();
    const { user = null, role = "" } = this.#room?.joined ?? {};
    const whyNot = !this.#room ? t("no_token_viewer") : isOut(this.#room) ? t("closed_4502") : CLAIMANTS.has(role) ? "" : t("only_viewers");
    const seen = { state: this.#state, entitlements: this.#room?.entitlements ?? NOTHING, nowMs, me: user, whyNot };
    return Math.min(...this.#parts.map((part) => part.show(seen)));
  }
}

/** Say something to those who do not see the page. */
function tell(words) {
  const told = byId("told");
  told.append(h("p", {}, words));
  while (told.children.length > TOLD_MAX) told.firstChild.remove();
}
