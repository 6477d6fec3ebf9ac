/** The viewer page: watch, and take part with a token. Each feature draws its own part. */

import { connect, stateOf } from "/client/liveroom.js";
import { isOut, showConnection } from "./connection.js";
import { byId, soon, toast } from "./dom.js";
import { FEATURES } from "./features/viewer.js";
import { get, getAtLast, serverNowMs } from "./http.js";
import { languageButton, t, translate } from "./i18n.js";
import { reasonOf } from "./reasons.js";
import { reloadOnNewToken, roomOfPage, takeToken, tokenCommand } from "./token.js";
import { Parts } from "./viewer/parts.js";

const READ_ONLY_REFRESH_MS = 5_000;

const name = roomOfPage();
translate();
languageButton(byId("language"));
reloadOnNewToken();
const token = await takeToken(name);

// With a token: the whole page.

async function join() {
  const { gateway_url: url } = await getAtLast("/v1/settings");
  const room = connect({ url, room: name, token });
  showConnection(room, name);
  const parts = new Parts(FEATURES, { room, name, state: () => room.state, nowMs: () => room.nowMs() });
  const drawSoon = soon(() => {
    if (isOut(room)) for (const sheet of document.querySelectorAll("dialog[data-for-admitted]")) sheet.close();
    parts.draw();
  });
  for (const type of ["state", "joined", "reconnecting", "closed"]) room.addEventListener(type, drawSoon);
  room.addEventListener("skipped", () => toast(t("skipped")));
}

// Without a token: the state over HTTP, polled.

function readOnly() {
  document.body.classList.add("read-only");
  document.body.dataset.connection = "read-only";
  byId("no-token").hidden = false;
  byId("no-token-command").textContent = tokenCommand(name, "viewer");
  byId("banner").hidden = true;
  let state = null;
  const parts = new Parts(FEATURES, { room: null, name, state: () => state, nowMs: serverNowMs });
  const refresh = async () => {
    try {
      state = stateOf(await get(`/v1/rooms/${encodeURIComponent(name)}`));
      byId("banner").hidden = true;
      parts.draw();
    } catch (error) {
      byId("banner").textContent = error.code === "room_not_found" ? t("room_missing") : reasonOf(error);
      byId("banner").hidden = false;
    }
    setTimeout(refresh, document.hidden ? READ_ONLY_REFRESH_MS * 10 : READ_ONLY_REFRESH_MS);
  };
  refresh();
}

if (token) join();
else readOnly();
