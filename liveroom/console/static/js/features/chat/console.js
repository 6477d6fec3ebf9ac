/** Chat in the console: the lines with what can be done about each, the anchor's own words, slow mode and the chat budget. */

import { SettingFields } from "../../console/setting-fields.js";
import { byId, h, icon, toast } from "../../dom.js";
import { t } from "../../i18n.js";
import { SanctionDialog } from "../moderation/sanction-dialog.js";
import { ChatList } from "./chat-list.js";

const SLOW_MODES_S = [0, 3, 5, 10, 30, 60];

/** Put it into the page. */
export function mount({ push, mayAnchor }) {
  const lines = new ChatPane(push);
  const limits = new ChatLimits(push, mayAnchor);
  return {
    show(seen) {
      lines.show(seen);
      limits.show(seen);
    },
    redraw() {
      lines.redraw();
      limits.redraw();
    },
  };
}

class ChatPane {
  #push;
  #list;
  #sanctions;
  #me = null;

  constructor(push) {
    this.#push = push;
    this.#sanctions = new SanctionDialog(push);
    this.#list = new ChatList(byId("chat"), byId("chat-more"), (line) => this.#acts(line));
    byId("say").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      if (!byId("say-text").readOnly) this.#say();
    });
  }

  show({ state, me }) {
    this.#me = me;
    this.#list.show(state.chat, me);
    byId("say-text").disabled = !state.open;
  }

  redraw() {
    this.#list.redraw(this.#me);
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
      act("mute", t("mute"), ({ currentTarget }) => this.#sanctions.ask("mute", user, currentTarget)),
      act("ban", t("ban"), ({ currentTarget }) => this.#sanctions.ask("ban", user, currentTarget)),
    );
  }
}

class ChatLimits {
  #fields;

  constructor(push, mayAnchor) {
    const fields = new SettingFields(push);
    this.#fields = fields;
    byId("budget").disabled = !mayAnchor;
    fields.fill("slow-mode", 0, fillSlowModes);
    fields.onSubmit("budget-form", () => fields.saveField("budget", "set_chat_budget", { lines_per_s: Number(byId("budget").value) }));
    byId("budget").addEventListener("change", () => byId("budget-form").requestSubmit());
    byId("slow-mode").addEventListener("change", () => fields.saveField("slow-mode", "set_slow_mode", { interval_ms: Number(byId("slow-mode").value) * 1000 }));
  }

  show({ state }) {
    this.#fields.fill("budget", String(state.chat_budget || ""));
    this.#fields.fill("slow-mode", state.slow_mode_ms / 1000, fillSlowModes);
  }

  redraw() {
    this.#fields.restore("slow-mode");
  }
}

function fillSlowModes(now) {
  const choices = [...new Set([...SLOW_MODES_S, now])].sort((one, other) => one - other);
  const words = (count) => (count ? t("slow_every", { count }) : t("slow_off"));
  byId("slow-mode").replaceChildren(...choices.map((count) => h("option", { value: count, selected: count === now }, words(count))));
}
