/** The front page: the live rooms. */

import { byId, forget, h, icon, reconcile, withCode } from "./dom.js";
import { get } from "./http.js";
import { languageButton, onLanguage, shortNumber, t, translate } from "./i18n.js";
import { money } from "./money.js";
import { picture } from "./product.js";

const REFRESH_MS = 3_000;
const PAGE_ROOMS = 48;
const PAGE_ROOMS_MAX = 96; // what is refreshed at once; a longer list is searched, not scrolled

let limit = PAGE_ROOMS;
let asked = 0;
let timer = null;
let found = { rooms: [], next: null };

async function refresh() {
  clearTimeout(timer);
  const ticket = (asked += 1);
  const query = new URLSearchParams({ open: "true", limit });
  const words = byId("search").value.trim();
  if (words) query.set("q", words);
  try {
    const answer = await get(`/v1/rooms?${query}`);
    if (ticket !== asked) return; // a newer question was asked meanwhile
    found = answer;
    byId("trouble").hidden = true;
    draw();
  } catch {
    byId("trouble").textContent = t("directory_failed");
    byId("trouble").hidden = false;
  }
  if (ticket === asked) timer = setTimeout(refresh, document.hidden ? REFRESH_MS * 10 : REFRESH_MS);
}

function draw() {
  const words = byId("search").value.trim();
  reconcile(byId("rooms"), found.rooms, { key: ({ room }) => room, make: makeCard, update: updateCard });
  byId("more").hidden = !found.next || limit >= PAGE_ROOMS_MAX;
  byId("empty").hidden = found.rooms.length > 0;
  byId("empty-words").textContent = words ? t("no_rooms_found", { query: words }) : t("no_rooms");
  byId("empty-hint").replaceChildren(...(words ? [] : withCode(t("no_rooms_hint"))));
}

function makeCard({ room }) {
  return h(
    "li",
    {},
    h(
      "a",
      { class: "room-card", href: `/rooms/${encodeURIComponent(room)}` },
      h(
        "div",
        { class: `cover cover-${room.length % 5}` },
        h("span", { class: "pill on" }, t("live")),
        h("span", { class: "pill glass" }, icon("users"), h("b", { "data-show": "viewers" })),
        h("span", { class: "cover-likes" }, icon("heart"), h("b", { "data-show": "likes" })),
        h("div", { class: "cover-product", "data-show": "product" }),
      ),
      h("div", { class: "card-words" }, h("strong", { "data-show": "title" }), h("small", { "data-show": "anchor" })),
    ),
  );
}

function updateCard(card, { title, anchor, anchor_name: name, viewers, likes, pinned }) {
  const part = (name) => card.querySelector(`[data-show="${name}"]`);
  part("title").textContent = title;
  part("anchor").textContent = name || anchor;
  part("viewers").textContent = shortNumber(viewers);
  part("likes").textContent = shortNumber(likes);
  const shown = JSON.stringify(pinned);
  if (part("product").dataset.shown === shown) return;
  part("product").dataset.shown = shown;
  part("product").hidden = !pinned;
  part("product").replaceChildren(
    ...(pinned ? [picture(pinned), h("span", {}, h("small", {}, t("explaining")), pinned.title), h("b", {}, money(pinned.price_fen))] : []),
  );
}

translate();
languageButton(byId("language"));
onLanguage(() => {
  forget(byId("rooms"));
  draw();
});
byId("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(refresh, 250);
});
byId("more").addEventListener("click", () => {
  limit = PAGE_ROOMS_MAX;
  refresh();
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
refresh();
