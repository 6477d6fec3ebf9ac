/** Converts money between whole fen and text, digit by digit. Everywhere else, money is whole fen. */

import { locale } from "./i18n.js";

/** The most fen that the server takes in one amount: 1,000,000,000 yuan. */
export const FEN_MAX = 100_000_000_000;

const AMOUNT = /^[¥￥]?\s*(\d{1,10})(?:[.,](\d{1,2}))?\s*元?$/;

/** Fen as yuan: 1290 is ¥12.90. */
export function money(fen) {
  return yuan(fen, "auto");
}

/** The same without idle zeros: 2000 is ¥20, 1290 is ¥12.90. */
export function shortMoney(fen) {
  return yuan(fen, "stripIfInteger");
}

/** An amount of fen, `count` times. */
export function timesMoney(fen, count) {
  return money(BigInt(fen) * BigInt(count)); // may be more than a number holds
}

function yuan(fen, trailingZeroDisplay) {
  const style = { style: "currency", currency: "CNY", currencyDisplay: "narrowSymbol", trailingZeroDisplay };
  return new Intl.NumberFormat(locale(), style).format(yuanOf(fen));
}

/** Fen (a number, or a BigInt for large sums) as plain decimal text for an input field: 1290 is "12.90". */
export function yuanOf(fen) {
  const digits = String(fen).replace("-", "").padStart(3, "0");
  return `${fen < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** An amount in yuan with at most two decimals, as fen; `null` for any other text and for more than `FEN_MAX`. */
export function fenOf(text) {
  const found = AMOUNT.exec(text.normalize("NFKC").trim());
  if (!found) return null;
  const fen = Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0"));
  return fen <= FEN_MAX ? fen : null;
}
