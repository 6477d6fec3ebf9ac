/** The anchor console: push things over HTTP, see what happens over the room's own stream. */

import { connect } from "/client/liveroom.js";
import { showConnection } from "./connection.js";
import { ChatPane } from "./features/chat/console.js";
import { Commands } from "./console/commands.js";
import { EnvelopeResults } from "./features/red_envelope/results.js";
import { Launches } from "./console/launches.js";
import { LedgerView } from "./console/ledger-view.js";
import { OffersPanel } from "./console/offers-panel.js";
import { QuestionBoard } from "./features/questions/console.js";
import { RoomSettings } from "./features/moderation/console.js";
import { ShowcaseManager } from "./features/showcase/console.js";
import { Stats } from "./features/audience/console.js";
import { runCountdowns } from "./countdown.js";
import { byId, soon, withCode } from "./dom.js";
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
  let opened = null; // whether the room was ever opened; null = not known yet
  const drawCountdowns = runCountdowns(() => room.nowMs());
  const parts = [
    new Stats(),
    new ShowcaseManager(name, push, mayAnchor),
    new ChatPane(push),
    new QuestionBoard(name, push),
    new RoomSettings(name, token, push, mayAnchor),
    new Launches(name, push, mayAnchor),
    new OffersPanel(push, mayAnchor),
    new EnvelopeResults(),
    new LedgerView(name, token, mayAnchor),
  ];

  const draw = () => {
    const { state } = room;
    drawHeader(state, opened);
    byId("desk").hidden = !state;
    if (state) for (const part of parts) part.show?.(state, room);
    drawCountdowns();
  };
  const drawSoon = soon(draw);
  room.addEventListener("state", () => {
    opened = true;
    drawSoon();
  });
  room.addEventListener("event", ({ detail }) => {
    for (const part of parts) part.onEvent?.(detail);
  });
  room.addEventListener("joined", () => {
    for (const part of parts) part.onJoined?.();
  });
  room.addEventListener("disconnected", ({ detail }) => {
    if (detail.code === 4004) opened = false;
    drawSoon();
  });
  onLanguage(() => {
    for (const part of parts) part.redraw?.(room);
    draw();
  });
  wireOpening(room, push);
  draw();
}

function drawHeader(state, opened) {
  const open = state?.open ?? false;
  byId("title").textContent = state?.title ?? t("console_title");
  const parts = state ? [name, state.anchor_name || state.anchor, state.close_reason && t("ended_because", { reason: state.close_reason })] : [name];
  byId("subtitle").textContent = parts.filter(Boolean).join(" · ");
  document.title = `${state?.title ?? name} · ${t("console_title")}`;
  byId("mode").hidden = !state && opened !== false;
  byId("mode").className = `pill ${open ? "on" : "off"}`;
  byId("mode").textContent = t(open ? "live" : state ? "ended" : "not_opened");
  byId("close-room").hidden = !open || !mayAnchor;
  byId("open-room").hidden = open || (!state && opened !== false) || !mayAnchor;
}

function wireOpening(room, push) {
  byId("open-room").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    if (await push("open_room", { title: byId("open-title").value }, { control: submitted.submitter })) {
      byId("open-title").value = "";
      room.retryNow();
    }
  });
  byId("close-room").addEventListener("click", () => byId("closing").showModal());
  byId("closing").addEventListener("close", async () => {
    if (byId("closing").returnValue !== "do") return;
    await push("close_room", { reason: byId("closing-reason").value }, { control: byId("close-room") });
    byId("closing-reason").value = "";
  });
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

/** Say why there is nothing to see: no token, or one that is not for a console. */
function showGate() {
  const draw = () => {
    const missing = !token;
    byId("gate").hidden = false;
    byId("subtitle").textContent = name;
    byId("gate-title").textContent = t(missing ? "no_token_console" : "console_title");
    byId("gate-words").textContent = t(missing ? "no_token_console_hint" : "wrong_role");
    byId("gate-command").hidden = byId("gate-then").hidden = byId("gate-production").hidden = !missing;
    byId("gate-command").textContent = tokenCommand(name, "anchor");
    byId("gate-then").replaceChildren(...withCode(t("no_token_console_then")));
  };
  onLanguage(draw);
  draw();
}

wireTabs();
byId("mode").hidden = true;
byId("viewer-page").href = `/rooms/${encodeURIComponent(name)}`;
if (token && role !== "viewer") run();
else showGate();
