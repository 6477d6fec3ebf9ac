/** Limits of launch forms; the room checks them again. */

export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
export const STOCK_MAX = 1_000_000;
/** Users per network address; an empty field is no limit. */
export const PER_ADDRESS = { min: 1, max: 10_000, empty: 0 };
