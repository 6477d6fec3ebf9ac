/** The likes in the console's stats. */

import { byId } from "../../dom.js";
import { shortNumber } from "../../i18n.js";

/** Put them into the page. */
export function mount() {
  return {
    show({ state }) {
      byId("likes").textContent = shortNumber(state.likes);
    },
  };
}
