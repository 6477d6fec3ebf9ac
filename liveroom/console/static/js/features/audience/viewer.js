/** The number of viewers on the viewer page. */

import { byId } from "../../dom.js";
import { shortNumber, t } from "../../i18n.js";

/** Put it into the page. */
export function mount() {
  return {
    show({ state }) {
      byId("viewers").textContent = shortNumber(state.viewers);
      byId("viewers-pill").setAttribute("aria-label", t("viewers_count", { count: state.viewers }));
    },
  };
}
