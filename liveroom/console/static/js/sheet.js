/** Sheets: dialogs that rise over the viewer page. */

import { h, icon } from "./dom.js";

/** A sheet with this id; `title` is the key of its title's words. */
export function makeSheet(id, title, ...children) {
  return h(
    "dialog",
    { id, class: "sheet", "aria-labelledby": `${id}-title` },
    h("header", {}, h("h2", { id: `${id}-title`, "data-t": title }), h("button", { class: "round", type: "button", "data-close": true, "data-t-label": "close" }, icon("close"))),
    ...children,
  );
}

/** Let `opener` open a sheet. It closes by its button, by Escape or by a tap beside it. */
export function wireSheet(dialog, opener, onOpen = () => {}) {
  opener.addEventListener("click", () => {
    dialog.showModal();
    onOpen();
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (click) => click.target === dialog && dialog.close()); // beside it
}
