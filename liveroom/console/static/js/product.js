/** The look of a product on every page. */

import { h } from "./dom.js";

/** A count by a product's id. An id may be any word, even a property of every object, such as `constructor`. */
export function countOf(counts, id) {
  return counts && Object.hasOwn(counts, id) ? counts[id] : 0;
}

/** A product's picture. Without one, or if it does not load, a colored tile with the first letter of its title. */
export function picture({ title, image_url = "" }) {
  const letter = [...title][0] ?? "";
  const tile = () => h("span", { class: `picture tile tile-${letter.codePointAt(0) % 5}`, "aria-hidden": "true" }, letter);
  if (!image_url) return tile();
  const image = h("img", { class: "picture", src: image_url, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(tile()), { once: true });
  return image;
}
