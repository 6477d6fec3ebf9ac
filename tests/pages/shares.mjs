// Reads [seed, {total_fen, shares, split}] pairs as JSON and prints the shares that the viewer page works out. Run by test_deals.py.

import { readFileSync } from "node:fs";
import { sharesOf } from "../../liveroom/console/static/js/features/red_envelope/fairness.js";

const shares = [];
for (const [seed, envelope] of JSON.parse(readFileSync(0, "utf8"))) shares.push(await sharesOf(seed, envelope));
console.log(JSON.stringify(shares));
