/** Ask once before something that cannot be taken back. */

import { byId } from "../dom.js";

/** Show `title` and `words`; resolves to whether the anchor wants it done. `doWords` are on the button that does it. */
export function ask(title, words, doWords) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-words").textContent = words;
  byId("ask-do").textContent = doWords;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "do"), { once: true }));
}
