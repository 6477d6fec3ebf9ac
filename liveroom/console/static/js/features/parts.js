/** The parts that features put into a page. An error in one part is reported and does not reach the others. */

/** Mount every feature; gives their parts. */
export function mountAll(features, page) {
  return features.map((feature) => attempt(() => feature.mount(page)) ?? {});
}

/** Call the function `name` of every part that has it; gives the results. */
export function callAll(parts, name, ...values) {
  return parts.map((part) => attempt(() => part[name]?.(...values)));
}

function attempt(act) {
  try {
    return act();
  } catch (error) {
    reportError(error);
    return undefined;
  }
}
