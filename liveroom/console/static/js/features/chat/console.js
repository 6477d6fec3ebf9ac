/** The chat with its moderation: delete a line, mute or ban who said it; and the anchor's own words. */

import { ChatList } from "./chat-list.js";
import { byId, h, icon, toast } from "../../dom.js";
import { t } from "../../i18n.js";

const DURATIONS_MS = [60_000, 600_000, 3_600_000, 86_400_000, 2_592_000_000];
const DURATION_MS_FIRST = 600_000;

export class ChatPane {
  #push;
  #list;
  #sanction = null; // {command, user, control} that the dialog asks about

  constructor(push) {
    this.#push = push;
    this.#list = new ChatList(byId("chat"), byId("chat-more"), (line) => this.#acts(line));
    byId("say").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      if (!byId("say-text").readOnly) this.#say();
    });
    byId("sanction").addEventListener("close", () => this.#impose());
  }

  show(state, room) {
    this.#list.show(state.chat, room.joined?.user);
    byId("say-text").disabled = !state.open;
  }

  redraw(room) {
    this.#list.redraw(room.joined?.user);
  }

  async #say() {
    const field = byId("say-text");
    const text = field.value;
    if (!text.trim()) return;
    field.value = "";
    const hold = () => {
      if (field.value) return; // the next line is being written
      field.value = text;
      field.readOnly = true;
    };
    const answer = await this.#push("send_chat", { text }, { control: byId("say").querySelector("[type=submit]"), onWait: hold });
    if (field.readOnly && answer) field.value = "";
    if (!answer && !field.value) field.value = text; // nothing written is lost
    field.readOnly = false;
    if (answer?.result.shown === false) toast(t("not_shown"), "bad");
  }

  #acts({ seq, user, name }) {
    const act = (picture, words, onclick) => h("button", { type: "button", title: words, "aria-label": `${words}: ${name}`, onclick }, icon(picture));
    return h(
      "span",
      { class: "line-acts" },
      act("trash", t("delete"), ({ currentTarget: control }) => this.#push("delete_message", { message: seq }, { control })),
      act("mute", t("mute"), ({ currentTarget }) => this.#ask("mute", user, currentTarget)),
      act("ban", t("ban"), ({ currentTarget }) => this.#ask("ban", user, currentTarget)),
    );
  }

  #ask(kind, user, control) {
    this.#sanction = { command: `${kind}_user`, user, control };
    byId("sanction-title").textContent = t(`sanction_${kind}`, { user });
    byId("sanction-do").textContent = t(kind);
    byId("sanction-duration").replaceChildren(
      ...DURATIONS_MS.map((ms) => h("option", { value: ms, selected: ms === DURATION_MS_FIRST }, t(`duration_${ms}`))),
    );
    byId("sanction-reason").value = "";
    byId("sanction").returnValue = "";
    byId("sanction").showModal();
    byId("sanction-reason").focus();
  }

  #impose() {
    if (byId("sanction").returnValue !== "do") return;
    const { command, user, control } = this.#sanction;
    this.#push(command, { user, duration_ms: Number(byId("sanction-duration").value), reason: byId("sanction-reason").value }, { control });
  }
}
