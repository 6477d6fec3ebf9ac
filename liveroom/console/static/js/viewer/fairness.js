/** Whether a red envelope was fair, as far as this browser can tell. */

/** Whether `seed` is what its envelope committed to before it opened; `null` where browsers give no SHA-256 (a page without TLS). */
export async function fits(seed, commitment) {
  if (!globalThis.crypto?.subtle) return null;
  const bytes = Uint8Array.from(seed.match(/../g) ?? [], (two) => Number.parseInt(two, 16));
  const hashed = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hashed, (byte) => byte.toString(16).padStart(2, "0")).join("") === commitment;
}
