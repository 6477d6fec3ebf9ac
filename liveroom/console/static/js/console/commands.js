/** The console's commands over HTTP; a command that waits for its answer shows that. */

import { toast } from "../dom.js";
import { post } from "../http.js";
import { onLanguage, t } from "../i18n.js";
import { reasonOf } from "../reasons.js";

/** An answer that takes longer gets a toast; sooner if the connection is known to be lost. */
const SLOW_AFTER_MS = 700;
const SLOW_AFTER_LOST_MS = 150;

export class Commands {
  #name;
  #token;
  #room;
  #waiting = 0; // commands that the toast stands for
  #toast = null;

  constructor(name, token, room) {
    this.#name = name;
    this.#token = token;
    this.#room = room;
    for (const type of ["joined", "reconnecting", "closed"]) room.addEventListener(type, () => this.#draw());
    onLanguage(() => this.#draw());
  }

  /**
   * Send a command. `control`, the pressed element, is busy until the answer is there; presses on it meanwhile do nothing.
   * `onWait()` is called once if the answer takes long. Toasts show the wait and, with `confirm`, the success. A failure has a toast, too,
   * unless `onFailed(error)` returns true. With an `id` of its own a command can be sent again later. Returns the answer, or `null`.
   */
  push = async (command, fields = {}, { control = null, confirm = "", onWait = () => {}, onFailed = () => false, id } = {}) => {
    if (control?.ariaBusy === "true") return null;
    const free = occupy(control);
    let waits = false;
    const wait = () => {
      if (waits) return;
      waits = true;
      this.#waiting += 1;
      this.#draw();
      onWait();
    };
    const slow = setTimeout(wait, this.#room.status === "live" ? SLOW_AFTER_MS : SLOW_AFTER_LOST_MS);
    const pause = (delayMs) => {
      wait();
      return this.#nextChance(delayMs);
    };
    let words = "";
    try {
      const answer = await post(this.#name, command, fields, this.#token, pause, id);
      words = confirm || (waits ? t("done") : "");
      this.#room.retryNow(); // the server is there: nothing else has to wait
      return answer;
    } catch (error) {
      if (!onFailed(error)) toast(`${t("failed")}: ${reasonOf(error)}`, "bad");
      return null;
    } finally {
      clearTimeout(slow);
      free();
      this.#waiting -= Number(waits);
      this.#draw();
      if (words) toast(words);
    }
  };

  /** After `delayMs`, or as soon as the room's own stream is back. */
  #nextChance(delayMs) {
    return new Promise((resolve) => {
      setTimeout(resolve, delayMs);
      this.#room.addEventListener("joined", resolve, { once: true });
    });
  }

  #draw() {
    if (!this.#waiting) {
      this.#toast?.remove();
      this.#toast = null;
      return;
    }
    const words = t(this.#room.status === "live" ? "waits_for_server" : "waits");
    this.#toast ??= toast(words, "wait");
    if (this.#toast.textContent !== words) this.#toast.textContent = words;
  }
}

/** Mark a control as busy, and return a function that frees it. A button keeps the focus; a field must not change meanwhile. */
function occupy(control) {
  if (!control) return () => {};
  const isButton = control instanceof HTMLButtonElement;
  control.ariaBusy = "true";
  if (isButton) control.ariaDisabled = "true";
  else control.disabled = true;
  return () => {
    control.ariaBusy = null;
    if (isButton) control.ariaDisabled = null;
    else control.disabled = false;
  };
}
