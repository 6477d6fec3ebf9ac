/**
 * The features of the console. One line here and one in console.css add a feature.
 *
 * Each module exports `mount(page)`, which puts the feature's elements into the page and returns its part. `page` has:
 *
 * - room: the room of the client.
 * - name: the room's id.
 * - token: the token that the console was opened with.
 * - push(command, fields, options): send a command, see `Commands`.
 * - mayAnchor: true if the token may do what an anchor does.
 *
 * A part has any of these:
 *
 * - show(seen): draw. `seen` is `{state, me}`.
 * - onEvent(event): one event of the room.
 * - onJoined(): a connection joined, the first or a later one.
 * - redraw(): discard the texts of another language; `show` follows if there is a state.
 * - launch: the plan of a form that launches something, see `LaunchForm`.
 * - offers: what is live of it, see `OffersPanel`.
 * - account: its entry in the ledger, see `LedgerView`.
 *
 * The order of parts, launch buttons, offers and accounts.
 */

import * as lifecycle from "./lifecycle/console.js";
import * as audience from "./audience/console.js";
import * as likes from "./likes/console.js";
import * as showcase from "./showcase/console.js";
import * as chat from "./chat/console.js";
import * as questions from "./questions/console.js";
import * as moderation from "./moderation/console.js";
import * as redEnvelope from "./red_envelope/console.js";
import * as flashSale from "./flash_sale/console.js";
import * as coupon from "./coupon/console.js";

export const FEATURES = [lifecycle, audience, likes, showcase, chat, questions, moderation, redEnvelope, flashSale, coupon];
