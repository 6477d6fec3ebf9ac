/** The condition of a red envelope in words. */

import { t } from "../../i18n.js";

/** The condition for grabbing an envelope: "Say “hello” in chat first", "Watch for 30 s first"; empty when anyone may. */
export function conditionWords({ keyword = "", watched_s = 0 } = {}) {
  const words = [keyword && t("condition_keyword", { keyword }), watched_s && t("condition_watched", { count: watched_s })];
  return words.filter(Boolean).join(t("and"));
}
