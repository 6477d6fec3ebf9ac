/** The place in an admission queue, in words. */

import { t } from "../i18n.js";

/** Words for the number of commands ahead in the queue. */
export function queueWords(ahead) {
  return ahead ? t("in_line", { count: ahead }) : t("next_in_line");
}
