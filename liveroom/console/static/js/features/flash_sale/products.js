/** Titles and pictures of products on sale. A pinned product is known; others are fetched, for example after a reload. */

import { getShowcase } from "../../http.js";

/** Requests of a crowd that sees the same sale begin are spread over this time. */
const SPREAD_MS = 1_500;
const AGAIN_MS = 10_000;
/** Most products that are remembered; the newest stay. */
const KEPT_MAX = 300;

export class Products {
  #room;
  #changed;
  #known = new Map(); // product -> it
  #asked = null; // the version of the showcase that was asked for
  #timer = null;

  /** `room` is the room's name; `changed()` is called when a product became known. */
  constructor(room, changed) {
    this.#room = room;
    this.#changed = changed;
  }

  /** Remember a product that was seen. */
  see(product) {
    this.#known.delete(product.id);
    this.#known.set(product.id, product);
    if (this.#known.size > KEPT_MAX) this.#known.delete(this.#known.keys().next().value);
  }

  /** The product of this id; `undefined` while it is not known. */
  get(id) {
    return this.#known.get(id);
  }

  /** Fetch the showcase, once per `version`, if one of these ids is unknown. */
  want(ids, version) {
    if (this.#timer !== null || this.#asked === version || ids.every((id) => this.#known.has(id))) return;
    this.#asked = version;
    this.#timer = setTimeout(() => this.#ask(version), Math.random() * SPREAD_MS);
  }

  async #ask(version) {
    try {
      for (const product of (await getShowcase(this.#room, version)).products) this.see(product);
      this.#timer = null;
      this.#changed();
    } catch {
      this.#timer = setTimeout(() => this.#ask(version), AGAIN_MS * (1 + Math.random()));
    }
  }
}
