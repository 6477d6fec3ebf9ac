/** The form that drops a red envelope. */

import { addressField, choiceField, durationField, inputField } from "../../console/launch-fields.js";
import { DAY_MS, HOUR_MS, PER_ADDRESS } from "../../console/launch-limits.js";
import { durationWords, opensWords } from "../../duration.js";
import { t } from "../../i18n.js";
import { money } from "../../money.js";
import { conditionWords } from "./condition.js";

/** How an anchor drops a red envelope. */
export const DROP = {
  kind: "envelope",
  title: "red_envelope",
  picture: "envelope",
  command: "drop_red_envelope",
  inputs: {
    total_fen: "total",
    shares: "shares",
    split: "split",
    title: "title",
    opens_in_ms: "opens_in",
    open_for_ms: "open_for",
    users_per_address_max: "users_per_address",
    "condition.keyword": "keyword",
    "condition.watched_s": "watched_s",
  },
  controls: () => [
    inputField("envelope_total", "total", { inputmode: "decimal", maxlength: 16, placeholder: "100.00" }),
    inputField("envelope_shares", "shares", { inputmode: "numeric", maxlength: 7, placeholder: "20" }),
    choiceField("envelope_split", "split", { lucky: "split_lucky", equal: "split_equal" }),
    durationField("opens_in", "opens_in", 10, "s", "h"),
    durationField("open_for", "open_for", 1, "min", "d"),
    choiceField("envelope_condition", "condition", { anyone: "who_anyone", keyword: "who_keyword", watched: "who_watched" }),
    inputField("keyword", "keyword", { maxlength: 50 }, { wide: true, when: "condition=keyword" }),
    inputField("watched_s", "watched_s", { inputmode: "numeric", maxlength: 7, value: 30 }, { wide: true, when: "condition=watched" }),
    addressField(),
    inputField("offer_title", "title", { maxlength: 120, value: "恭喜发财 · Good fortune" }),
  ],
  read(reading) {
    const chosen = reading.choice("condition");
    const condition = {};
    if (chosen === "keyword") condition.keyword = reading.text("keyword", { required: true });
    if (chosen === "watched") condition.watched_s = reading.count("watched_s", { min: 1, max: 7_200 });
    return {
      total_fen: reading.fen("total", { min: 1 }),
      shares: reading.count("shares", { min: 1, max: 10_000 }),
      split: reading.choice("split"),
      title: reading.text("title"),
      opens_in_ms: reading.ms("opens_in", { min: 0, max: HOUR_MS }),
      open_for_ms: reading.ms("open_for", { min: 1_000, max: DAY_MS }),
      users_per_address_max: reading.count("users_per_address", PER_ADDRESS),
      condition,
    };
  },
  preview({ total_fen, shares }) {
    return total_fen && shares ? t("share_about", { amount: money(Math.floor(total_fen / shares)) }) : "";
  },
  review({ total_fen, shares, split, title, opens_in_ms, open_for_ms, users_per_address_max, condition }) {
    const lines = [
      [t("envelope_shares"), `${shares} · ${t(`split_${split}`)}`],
      [t("opens_in"), opensWords(opens_in_ms)],
      [t("open_for"), durationWords(open_for_ms)],
      [t("envelope_condition"), conditionWords(condition) || t("who_anyone")],
      [t("users_per_address"), users_per_address_max || t("any_number")],
      [t("offer_title"), title],
    ];
    return { sum: t("envelope_sum", { amount: money(total_fen) }), lines, note: "" };
  },
};
