/** The viewer page: watch, chat, like, ask, request a try-on. */

import { connect } from "/client/liveroom.js";
import { ChatList } from "./features/chat/chat-list.js";
import { Composer } from "./features/chat/composer.js";
import { isOut, showConnection } from "./connection.js";
import { byId, soon, toast } from "./dom.js";
import { floatHearts } from "./features/likes/hearts.js";
import { get, getAtLast, serverNowMs } from "./http.js";
import { languageButton, onLanguage, shortNumber, t, translate } from "./i18n.js";
import { QuestionSheet, ShowcaseSheet, drawPinned, wireSheet } from "./features/showcase/viewer.js";
import { reasonOf } from "./reasons.js";
import { reloadOnNewToken, roomOfPage, takeToken, tokenCommand } from "./token.js";
import { Deals } from "./viewer/parts.js";

const READ_ONLY_REFRESH_MS = 5_000;
const HEARTS_MAX = 6; // hearts shown for one frame of other people's likes

const NO_OFFERS = { envelopes: [], coupons: [], sales: [] };

const name = roomOfPage();
translate();
languageButton(byId("language"));
reloadOnNewToken();
const token = await takeToken(name);
const chat = new ChatList(byId("chat"), byId("chat-more"));
let ownLikes = 0; // taps of ours that the total does not hold yet

function drawState(state, composer = null, me = null) {
  document.title = `${state.title} · liveroom`;
  byId("title").textContent = state.title;
  const anchor = state.anchor_name || state.anchor;
  byId("anchor").textContent = anchor;
  byId("avatar").textContent = [...anchor][0]?.toUpperCase() ?? "";
  byId("mode").textContent = t(state.open ? "live" : "ended");
  byId("mode").className = `pill ${state.open ? "on" : "off"}`;
  byId("viewers").textContent = shortNumber(state.viewers);
  byId("viewers-pill").setAttribute("aria-label", t("viewers_count", { count: state.viewers }));
  byId("announcement").hidden = !state.announcement;
  for (const id of ["announcement", "announcement-text"]) byId(id).textContent = state.announcement;
  byId("ended-reason").hidden = !state.close_reason;
  byId("ended-reason").textContent = state.close_reason ?? "";
  document.body.classList.toggle("over", !state.open);
  byId("ended").hidden = state.open;
  byId("stage-note").hidden = !state.open;
  const like = byId("like");
  like.disabled = !composer || !state.open;
  like.title = like.disabled ? t(state.open ? "no_token_viewer" : "room_ended") : "";
  byId("likes").textContent = shortNumber(state.likes + ownLikes);
  const picked = state.questions.find((question) => question.state === "picked");
  byId("answering").hidden = !picked || !state.open;
  if (picked) byId("answering").textContent = `${t("answering")} · ${picked.name}: ${picked.text}`;
  const chatLines = composer ? composer.withUnshown(state.chat) : state.chat;
  chat.show(chatLines, me);
}

// With a token: everything.

async function join() {
  const { gateway_url: url } = await getAtLast("/v1/settings");
  const room = connect({ url, room: name, token });
  showConnection(room, name);
  const composer = new Composer(room);
  const showcase = new ShowcaseSheet(name, requestTryOn);
  const questions = new QuestionSheet();

  async function requestTryOn(product) {
    if (room.status !== "live") toast(t("waits"));
    try {
      await room.requestTryOn(product.id);
      toast(t("try_on_done"));
    } catch (error) {
      toast(reasonOf(error), "bad");
    }
  }
  const draw = () => {
    const { state } = room;
    if (isOut(room)) for (const sheet of ["showcase", "questions"]) byId(sheet).close();
    if (!state) return;
    drawState(state, composer, room.joined?.user);
    drawPinned(state, requestTryOn);
    showcase.show(state);
    questions.show(state, room.joined?.user);
    composer.draw();
    deals.show(state);
  };
  const drawSoon = soon(draw);
  const deals = new Deals({ room, name, nowMs: () => room.nowMs() });
  room.addEventListener("state", drawSoon);
  for (const type of ["joined", "reconnecting", "closed"]) room.addEventListener(type, drawSoon);
  room.addEventListener("skipped", () => toast(t("skipped")));
  composer.addEventListener("changed", drawSoon);
  room.addEventListener("event", ({ detail }) => {
    if (detail.type !== "likes_added") return;
    const others = Math.max(0, detail.count - ownLikes);
    ownLikes = Math.max(0, ownLikes - detail.count);
    floatHearts(Math.min(HEARTS_MAX, others));
  });
  byId("like").addEventListener("click", () => {
    floatHearts(1);
    ownLikes += 1;
    drawSoon();
    room.sendLikes(1).catch((error) => {
      ownLikes = 0;
      drawSoon();
      toast(reasonOf(error), "bad");
    });
  });
  onLanguage(() => {
    if (!room.state) return;
    chat.redraw(room.joined?.user);
    showcase.redraw();
    questions.redraw();
    draw();
  });
}

// Without one: the state over HTTP, now and then.

function readOnly() {
  document.body.classList.add("read-only");
  document.body.dataset.connection = "read-only";
  byId("no-token").hidden = false;
  byId("no-token-command").textContent = tokenCommand(name, "viewer");
  byId("composer").hidden = true;
  byId("like").disabled = true;
  byId("banner").hidden = true;
  const showcase = new ShowcaseSheet(name, null);
  const questions = new QuestionSheet();
  let state = null;
  const draw = () => {
    if (!state) return;
    drawState(state);
    drawPinned(state, null);
    showcase.show(state);
    questions.show(state, null);
    deals.show(state);
  };
  const deals = new Deals({ room: null, name, nowMs: serverNowMs });
  const refresh = async () => {
    try {
      state = { announcement: "", likes: 0, viewers: 0, try_ons: {}, ...NO_OFFERS, questions: [], chat: [], ...(await get(`/v1/rooms/${encodeURIComponent(name)}`)) };
      byId("banner").hidden = true;
      draw();
    } catch (error) {
      byId("banner").textContent = error.code === "room_not_found" ? t("room_missing") : reasonOf(error);
      byId("banner").hidden = false;
    }
    setTimeout(refresh, document.hidden ? READ_ONLY_REFRESH_MS * 10 : READ_ONLY_REFRESH_MS);
  };
  onLanguage(() => {
    chat.redraw(null);
    showcase.redraw();
    questions.redraw();
    draw();
  });
  refresh();
}

wireSheet(byId("announcement-whole"), byId("announcement"));
byId("answering").addEventListener("click", () => byId("questions").showModal());
if (token) join();
else readOnly();
