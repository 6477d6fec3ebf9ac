/** The anchor console: it sends commands over HTTP, and follows the room over the room's own stream. */

import { connect } from "/client/liveroom.js";
import { showConnection } from "./connection.js";
import { Commands } from "./console/commands.js";
import { Launches } from "./console/launches.js";
import { LedgerView } from "./console/ledger-view.js";
import { OffersPanel } from "./console/offers-panel.js";
import { runCountdowns } from "./countdown.js";
import { byId, soon, withCode } from "./dom.js";
import { FEATURES } from "./features/console.js";
import { callAll, mountAll } from "./features/parts.js";
import { getAtLast } from "./http.js";
import { languageButton, onLanguage, t, translate } from "./i18n.js";
import { claimsOf, reloadOnNewToken, roomOfPage, takeToken, tokenCommand } from "./token.js";

const name = roomOfPage();
translate();
languageButton(byId("language"));
reloadOnNewToken();
const token = await takeToken(name);
const { role = "viewer" } = claimsOf(token);
const mayAnchor = role === "anchor" || role === "platform";

async function run() {
  const { gateway_url: url } = await getAtLast("/v1/settings");
  const room = connect({ url, room: name, token });
  showConnection(room, name);
  const { push } = new Commands(name, token, room);
  const drawCountdowns = runCountdowns(() => room.nowMs());
  const features = mountAll(FEATURES, { room, name, token, push, mayAnchor });
  const parts = [...features, new Launches(features, push, mayAnchor), new OffersPanel(features), new LedgerView(features, name, token, mayAnchor)];

  const draw = () => {
    const { state } = room;
    byId("dashboard").hidden = !state;
    if (state) callAll(parts, "show", { state, me: room.joined?.user });
    drawCountdowns();
  };
  room.addEventListener("state", soon(draw));
  room.addEventListener("event", ({ detail }) => callAll(parts, "onEvent", detail));
  room.addEventListener("joined", () => callAll(parts, "onJoined"));
  onLanguage(() => {
    callAll(parts, "redraw");
    draw();
  });
  draw();
}

function wireTabs() {
  const tabs = [...byId("tabs").children];
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      byId(tab.dataset.tab).classList.toggle("shown", tab === chosen);
    }
  };
  byId("tabs").addEventListener("click", (click) => click.target.dataset.tab && select(click.target));
  byId("tabs").addEventListener("keydown", (pressed) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[pressed.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
  select(tabs[0]);
}

/** Explain the empty page: no token, or one that is not for a console. */
function showGate() {
  const draw = () => {
    const missing = !token;
    byId("sign-in").hidden = false;
    byId("subtitle").textContent = name;
    byId("sign-in-title").textContent = t(missing ? "no_token_console" : "console_title");
    byId("sign-in-words").textContent = t(missing ? "no_token_console_hint" : "wrong_role");
    byId("sign-in-command").hidden = byId("sign-in-then").hidden = byId("sign-in-production").hidden = !missing;
    byId("sign-in-command").textContent = tokenCommand(name, "anchor");
    byId("sign-in-then").replaceChildren(...withCode(t("no_token_console_then")));
  };
  onLanguage(draw);
  draw();
}

wireTabs();
byId("mode").hidden = true;
byId("viewer-page").href = `/rooms/${encodeURIComponent(name)}`;
if (token && role !== "viewer") run();
else showGate();
