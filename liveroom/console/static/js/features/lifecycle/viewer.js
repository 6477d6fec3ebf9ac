/** The room on the viewer page: its title, its anchor, its announcement, and whether it is open. */

import { byId } from "../../dom.js";
import { t } from "../../i18n.js";
import { wireSheet } from "../../sheet.js";

/** Put it into the page. */
export function mount() {
  wireSheet(byId("announcement-whole"), byId("announcement"));
  return { show };
}

function show({ state }) {
  const { title, anchor, anchor_name: anchorName, open, announcement, close_reason: closeReason } = state;
  document.title = `${title} · liveroom`;
  byId("title").textContent = title;
  const shownName = anchorName || anchor;
  byId("anchor").textContent = shownName;
  byId("avatar").textContent = [...shownName][0]?.toUpperCase() ?? "";
  byId("mode").textContent = t(open ? "live" : "ended");
  byId("mode").className = `pill ${open ? "on" : "off"}`;
  byId("announcement").hidden = !announcement;
  for (const id of ["announcement", "announcement-text"]) byId(id).textContent = announcement;
  byId("ended-reason").hidden = !closeReason;
  byId("ended-reason").textContent = closeReason;
  document.body.classList.toggle("over", !open);
  byId("ended").hidden = open;
  byId("stage-note").hidden = !open;
}
