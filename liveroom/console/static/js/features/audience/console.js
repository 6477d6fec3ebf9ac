/** The live counts, and the last minutes of viewers as a line. */

import { byId, svg } from "../../dom.js";
import { shortNumber, t } from "../../i18n.js";

const SAMPLE_MS = 2_000;
const SAMPLES_MAX = 90; // three minutes
const WIDTH = 120;
const HEIGHT = 36;

/** Put it into the page. */
export function mount() {
  return new Stats();
}

class Stats {
  #samples = [];
  #viewers = null;
  #area = svg("path", {});
  #line = svg("polyline", {});

  constructor() {
    byId("sparkline").append(this.#area, this.#line);
    setInterval(() => this.#sample(), SAMPLE_MS);
  }

  show({ state }) {
    const first = this.#viewers === null;
    this.#viewers = state.viewers;
    byId("viewers").textContent = shortNumber(state.viewers);
    byId("unique").textContent = state.unique_estimated ? t("estimated", { count: shortNumber(state.unique) }) : shortNumber(state.unique);
    byId("peak").textContent = shortNumber(state.peak);
    if (first) this.#sample();
  }

  #sample() {
    if (this.#viewers === null) return;
    this.#samples.push(this.#viewers);
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
    const top = Math.max(1, ...this.#samples) * 1.15;
    const step = WIDTH / Math.max(1, this.#samples.length - 1);
    const points = this.#samples.map((count, index) => `${(index * step).toFixed(1)},${(HEIGHT - (count / top) * HEIGHT).toFixed(1)}`);
    if (points.length === 1) points.push(`${WIDTH},${points[0].split(",")[1]}`);
    this.#line.setAttribute("points", points.join(" "));
    this.#area.setAttribute("d", `M0,${HEIGHT} L${points.join(" L")} L${WIDTH},${HEIGHT} Z`);
  }
}
