/** The input for chat and questions, with its limits and the reason of a refusal. */

import { isOut } from "../../connection.js";
import { byId } from "../../dom.js";
import { onLanguage, t } from "../../i18n.js";
import { muteReason, reasonOf } from "../../reasons.js";

const CHARACTERS_MAX = 300;
const CHARACTERS_SHOWN_BELOW = 50; // how many are left is shown when it matters
const UNSHOWN_MAX = 20;
const HINT_MS = 6_000;

/** Dispatches `changed` when the user's own unshown lines change. */
export class Composer extends EventTarget {
  #room;
  #asking = false;
  #unshown = []; // lines of ours that the busy room did not show to everyone
  #muteReason = "";
  #hint = ""; // a passing one
  #hintTimer = null;

  constructor(room) {
    super();
    this.#room = room;
    byId("text").addEventListener("input", () => this.draw());
    byId("composer").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      this.#submit();
    });
    byId("ask").addEventListener("click", () => {
      this.#asking = !this.#asking;
      this.draw();
      byId("text").focus();
    });
    let explained = -1; // the seq of the mute that the reason is of
    room.addEventListener("personal", ({ detail }) => {
      if (detail.type !== "sanction_explained" || detail.sanction !== "mute") return;
      this.#muteReason = detail.reason;
      explained = detail.seq - 1;
      this.draw();
    });
    room.addEventListener("event", ({ detail }) => {
      if (detail.type === "user_muted" && detail.user === room.joined?.user && detail.seq !== explained) this.#muteReason = "";
    });
    for (const type of ["joined", "reconnecting", "closed"]) room.addEventListener(type, () => this.draw());
    setInterval(() => this.draw(), 1_000); // a mute ends by itself
    onLanguage(() => this.draw());
    this.draw();
  }

  /** The room's lines, with the user's own unshown ones among them. */
  withUnshown(lines) {
    if (!this.#unshown.length) return lines;
    const hinted = this.#unshown.map((line) => ({ ...line, hint: t("not_shown") }));
    return [...lines, ...hinted].sort((one, other) => one.seq - other.seq);
  }

  /** Bring buttons, placeholder and hint up to date. */
  draw() {
    const text = byId("text");
    const left = CHARACTERS_MAX - [...text.value].length;
    const ended = this.#room.state?.open === false;
    const shut = ended || isOut(this.#room);
    text.placeholder = t(ended ? "room_ended" : this.#asking ? "ask_something" : "say_something");
    text.setAttribute("aria-label", text.placeholder);
    byId("ask").setAttribute("aria-pressed", String(this.#asking));
    byId("ask").disabled = shut;
    byId("ask").title = t(ended ? "room_ended" : "ask_hint");
    byId("left").textContent = left <= CHARACTERS_SHOWN_BELOW ? left : "";
    byId("left").classList.toggle("over", left < 0);
    byId("composer").querySelector("[type=submit]").disabled = left < 0 || !text.value.trim() || shut;
    text.disabled = shut;
    this.#drawHint();
  }

  #drawHint() {
    const hint = byId("hint");
    const { mutedUntilMs, state } = this.#room;
    const slow = state?.open && state.slow_mode_ms && this.#room.joined?.role === "viewer" ? t("slow_mode_on", { count: state.slow_mode_ms / 1000 }) : "";
    const words = (mutedUntilMs && muteReason(mutedUntilMs, this.#muteReason)) || this.#hint || slow;
    hint.hidden = !words;
    hint.classList.toggle("bad", Boolean(mutedUntilMs || (this.#hint && words === this.#hint)));
    if (hint.textContent !== words) hint.textContent = words;
  }

  #say(words) {
    this.#hint = words;
    clearTimeout(this.#hintTimer);
    this.#hintTimer = setTimeout(() => {
      this.#hint = "";
      this.draw();
    }, HINT_MS);
    this.draw();
  }

  async #submit() {
    const field = byId("text");
    const text = field.value;
    if (!text.trim()) return;
    const asked = this.#asking;
    field.value = "";
    this.#asking = false;
    this.draw();
    if (this.#room.status !== "live") this.#say(t("waits"));
    try {
      const { result } = asked ? await this.#room.askQuestion(text) : await this.#room.sendChat(text);
      if (asked) this.#say(t("question_sent"));
      else if (result.shown === false) this.#keepUnshown(result.message, text);
    } catch (error) {
      if (!field.value) {
        field.value = text; // nothing written is lost
        this.#asking = asked;
      }
      this.#say(reasonOf(error));
    }
  }

  #keepUnshown(seq, text) {
    const { user, name, role } = this.#room.joined;
    this.#unshown = [...this.#unshown, { seq, user, name, role, text }].slice(-UNSHOWN_MAX);
    this.dispatchEvent(new CustomEvent("changed"));
  }
}
