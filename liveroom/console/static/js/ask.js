/** Ask once before something that cannot be taken back. */

import { byId } from "./dom.js";
import { t } from "./i18n.js";

/** Show `title` and `words`; resolves to whether the user wants it done. `doWords` are on the button that does it, `cancelWords` on the other. */
export function ask(title, words, doWords, cancelWords = t("cancel")) {
  const dialog = byId("sure");
  byId("sure-title").textContent = title;
  byId("sure-words").textContent = words;
  byId("sure-do").textContent = doWords;
  byId("sure-cancel").textContent = cancelWords;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "do"), { once: true }));
}
