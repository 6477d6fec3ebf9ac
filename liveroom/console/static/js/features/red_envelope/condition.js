/** The condition of a red envelope in words. */

import { t } from "../../i18n.js";

/** The condition for grabbing an envelope: "say “hello” in chat", "watch for 30 s"; empty if anyone may. */
export function conditionWords({ keyword = "", watched_s = 0 } = {}) {
  const words = [keyword && t("condition_keyword", { keyword }), watched_s && t("condition_watched", { count: watched_s })];
  return words.filter(Boolean).join(t("and"));
}
