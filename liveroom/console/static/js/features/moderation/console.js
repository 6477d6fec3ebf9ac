/** Settings of the whole room: announcement, slow mode, chat budget, banned words, and the muted and banned users. */

import { byId, forget, h, reconcile, toast } from "../../dom.js";
import { get, serverNowMs } from "../../http.js";
import { clock, t } from "../../i18n.js";
import { reasonOf } from "../../reasons.js";

const SLOW_MODES_S = [0, 3, 5, 10, 30, 60];
const SANCTIONS = new Set(["user_muted", "user_unmuted", "user_banned", "user_unbanned"]);
const BEHIND_MS = 300; // HTTP may be a moment behind the room's own stream

export class RoomSettings {
  #room;
  #token;
  #push;
  #moderation = { muted: {}, banned: {}, banned_words: [] };
  #shown = {}; // what the fields were filled with, so that typing is never overwritten by what is not news
  #refreshing = null;
  #state = null;

  constructor(room, token, push, mayAnchor) {
    this.#room = room;
    this.#token = token;
    this.#push = push;
    byId("budget").disabled = !mayAnchor;
    this.#fillSlowModes(0);
    const submit = (form, send) =>
      byId(form).addEventListener("submit", (submitted) => {
        submitted.preventDefault();
        send(submitted.target.querySelector("[type=submit]"));
      });
    submit("announce", (control) => this.#save("set_announcement", { text: byId("announcement").value }, control));
    submit("words-form", (control) => this.#saveWords(control));
    submit("budget-form", () => this.#saveField("budget", "set_chat_budget", { lines_per_s: Number(byId("budget").value) }));
    byId("budget").addEventListener("change", () => byId("budget-form").requestSubmit());
    byId("take-down").addEventListener("click", ({ currentTarget }) => this.#save("set_announcement", { text: "" }, currentTarget));
    byId("slow-mode").addEventListener("change", () => this.#saveField("slow-mode", "set_slow_mode", { interval_ms: Number(byId("slow-mode").value) * 1000 }));
  }

  show(state) {
    this.#state = state;
    this.#fill("announcement", state.announcement);
    this.#fill("budget", String(state.chat_budget || ""));
    this.#fillSlowModes(state.slow_mode_ms / 1000);
    this.#draw();
  }

  onEvent({ type }) {
    if (SANCTIONS.has(type)) this.#refreshSoon();
  }

  onJoined() {
    this.#refreshSoon();
  }

  redraw() {
    this.#shown["slow-mode"] = null;
    for (const list of ["muted", "banned"]) forget(byId(list));
  }

  #save(command, fields, control) {
    return this.#push(command, fields, { control, confirm: t("done") });
  }

  /** A field that is sent as it is changed goes back to what holds when the change was not taken. */
  async #saveField(id, command, fields) {
    if (byId(id).ariaBusy === "true") return; // Enter in a changed field comes here twice
    if (await this.#save(command, fields, byId(id))) return;
    this.#shown[id] = null;
    this.show(this.#state);
  }

  async #saveWords(control) {
    const words = byId("words").value.split("\n").map((word) => word.trim()).filter(Boolean);
    if (await this.#save("set_banned_words", { words }, control)) this.#refreshSoon();
  }

  #fill(id, value) {
    if (this.#shown[id] === value) return;
    this.#shown[id] = value;
    byId(id).value = value;
  }

  #fillSlowModes(now) {
    if (this.#shown["slow-mode"] === now) return;
    this.#shown["slow-mode"] = now;
    const choices = [...new Set([...SLOW_MODES_S, now])].sort((one, other) => one - other);
    const words = (count) => (count ? t("slow_every", { count }) : t("slow_off"));
    byId("slow-mode").replaceChildren(...choices.map((count) => h("option", { value: count, selected: count === now }, words(count))));
  }

  #refreshSoon() {
    this.#refreshing ??= setTimeout(() => this.#refresh(), BEHIND_MS);
  }

  async #refresh() {
    this.#refreshing = null;
    try {
      this.#moderation = await get(`/v1/rooms/${encodeURIComponent(this.#room)}/moderation`, this.#token);
      this.#fill("words", this.#moderation.banned_words.join("\n"));
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
