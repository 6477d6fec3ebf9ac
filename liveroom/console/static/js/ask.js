/** Asks for confirmation before an action that cannot be undone. */

import { byId } from "./dom.js";
import { t } from "./i18n.js";

/** Show `title` and `words`; resolves to true if the user confirms. `doWords` label the confirming button, `cancelWords` the other. */
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
