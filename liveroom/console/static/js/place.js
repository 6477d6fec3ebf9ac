/** Places that a page keeps for its features: `<template data-place="stage">` in its HTML. */

import { translate } from "./i18n.js";

/** Put elements at the end of a place, in the language of now. */
export function putAt(place, ...elements) {
  const parts = document.createDocumentFragment();
  parts.append(...elements);
  translate(parts);
  document.querySelector(`[data-place="${place}"]`).before(parts);
}
