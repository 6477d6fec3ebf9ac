/** The words of the features in English; those of the pages are in the list beside this folder. */

import { EN as coupon } from "./coupon/words-en.js";
import { EN as redEnvelope } from "./red_envelope/words-en.js";
import { EN as flashSale } from "./flash_sale/words-en.js";

export const EN = { ...coupon, ...redEnvelope, ...flashSale };
