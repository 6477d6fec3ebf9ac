/** The words of the features in Chinese; those of the pages are in the list beside this folder. */

import { ZH as coupon } from "./coupon/words-zh.js";
import { ZH as redEnvelope } from "./red_envelope/words-zh.js";
import { ZH as flashSale } from "./flash_sale/words-zh.js";

export const ZH = { ...coupon, ...redEnvelope, ...flashSale };
