// Reads [terms, spend_fen] pairs as JSON and prints the discounts that the viewer page shows beforehand. Run by test_deals.py.

import { readFileSync } from "node:fs";
import { discountFen } from "../../liveroom/console/static/js/features/coupon/price.js";

const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([terms, spend]) => discountFen(terms, spend))));
