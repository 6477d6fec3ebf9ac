/**
 * The features of the viewer page. One line here and one in viewer.css add a feature.
 *
 * Each module exports `mount(page)`, which puts the feature's elements into the page and returns its part. `page` has:
 *
 * - room: the room of the client, `null` without a token.
 * - name: the room's id.
 * - taps: `Taps` of the room, `null` without a token.
 * - tell(words): say something to screen readers.
 * - changed(): draw all parts again.
 *
 * A part has any of these functions:
 *
 * - show(seen): draw. `seen` is `{state, entitlements, nowMs, me, whyNot, live}`; the page calls it after every frame, an entitlements frame
 *   among them. It may return the time (Unix ms by the server's clock) at which the part looks different without any news.
 * - onEvent(event): one event of the room, before the state that it leads to is shown.
 * - onPersonal(event): one event that concerns this user alone.
 * - redraw(): discard the texts of another language; `show` follows.
 *
 * The order in which parts are drawn, and their order within one place of the page.
 */

import * as lifecycle from "./lifecycle/viewer.js";
import * as audience from "./audience/viewer.js";
import * as chat from "./chat/viewer.js";
import * as likes from "./likes/viewer.js";
import * as questions from "./questions/viewer.js";
import * as showcase from "./showcase/viewer.js";
import * as coupon from "./coupon/viewer.js";
import * as redEnvelope from "./red_envelope/viewer.js";
import * as flashSale from "./flash_sale/viewer.js";

export const FEATURES = [lifecycle, audience, chat, likes, questions, showcase, coupon, redEnvelope, flashSale];
