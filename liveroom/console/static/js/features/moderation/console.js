/** Moderation in the console: banned words, and the muted and banned users. */

import { SettingFields } from "../../console/setting-fields.js";
import { byId, forget, h, reconcile, toast } from "../../dom.js";
import { get, serverNowMs } from "../../http.js";
import { clock, t } from "../../i18n.js";
import { reasonOf } from "../../reasons.js";

const SANCTIONS = new Set(["user_muted", "user_unmuted", "user_banned", "user_unbanned"]);
const BEHIND_MS = 300; // HTTP may be a moment behind the room's own stream

/** Put it into the page. */
export function mount({ name, token, push }) {
  return new Moderation(name, token, push);
}

class Moderation {
  #room;
  #token;
  #push;
  #fields;
  #moderation = { muted: {}, banned: {}, banned_words: [] };
  #refreshing = null;

  constructor(room, token, push) {
    this.#room = room;
    this.#token = token;
    this.#push = push;
    this.#fields = new SettingFields(push);
    this.#fields.onSubmit("words-form", (control) => this.#saveWords(control));
  }

  show() {
    this.#draw();
  }

  onEvent({ type }) {
    if (SANCTIONS.has(type)) this.#refreshSoon();
  }

  onJoined() {
    this.#refreshSoon();
  }

  redraw() {
    for (const list of ["muted", "banned"]) forget(byId(list));
  }

  async #saveWords(control) {
    const words = byId("words").value.split("\n").map((word) => word.trim()).filter(Boolean);
    if (await this.#fields.save("set_banned_words", { words }, control)) this.#refreshSoon();
  }

  #refreshSoon() {
    this.#refreshing ??= setTimeout(() => this.#refresh(), BEHIND_MS);
  }

  async #refresh() {
    this.#refreshing = null;
    try {
      this.#moderation = await get(`/v1/rooms/${encodeURIComponent(this.#room)}/moderation`, this.#token);
      this.#fields.fill("words", this.#moderation.banned_words.join("\n"));
      this.#draw();
    } catch (error) {
      toast(reasonOf(error), "bad");
    }
  }

  #draw() {
    for (const [list, undo] of [["muted", "unmute"], ["banned", "unban"]]) {
      byId(list).dataset.empty = t("nobody");
      reconcile(byId(list), Object.entries(this.#moderation[list]).filter(([, untilMs]) => untilMs > serverNowMs()), {
        key: ([user, untilMs]) => `${user} ${untilMs}`,
        make: ([user, untilMs]) =>
          h(
            "li",
            { "data-user": user },
            h("div", {}, h("bdi", {}, user), " ", h("small", {}, t("until", { time: clock(untilMs) }))),
            h("button", { type: "button", onclick: ({ currentTarget: control }) => this.#push(`${undo}_user`, { user }, { control }) }, t(undo)),
          ),
      });
    }
  }
}
