/** Checks in this browser that a red envelope was fair: see docs/fairness.md. */

/** True if this browser can hash; without TLS it cannot. */
export const CAN_CHECK = Boolean(globalThis.crypto?.subtle);

const WORD_BITS = 64n;

const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (two) => Number.parseInt(two, 16));
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** True if `seed` is the one that its envelope committed to before it opened. */
export async function fits(seed, commitment) {
  const hashed = await sha256(bytesOf(seed));
  return Array.from(hashed, (byte) => byte.toString(16).padStart(2, "0")).join("") === commitment;
}

/** The shares in the order of the turns, in fen. */
export async function sharesOf(seed, { total_fen, shares: count, split }) {
  const below = drawer(bytesOf(seed));
  const shares = [];
  if (split === "lucky") {
    let left = total_fen;
    for (let missing = count; missing > 1; missing -= 1) {
      shares.push(1 + (await below(Math.floor((2 * left) / missing) - 1)));
      left -= shares.at(-1);
    }
    shares.push(left);
  } else {
    for (let turn = 0; turn < count; turn += 1) shares.push(Math.floor(total_fen / count) + (turn < total_fen % count ? 1 : 0));
  }
  for (let turn = count - 1; turn > 0; turn -= 1) {
    const other = await below(turn + 1);
    [shares[turn], shares[other]] = [shares[other], shares[turn]];
  }
  return shares;
}

/** Returns `below(bound)`, which draws a uniform number in 0 ... bound - 1 from the seed. */
function drawer(seed) {
  const block = new Uint8Array(seed.length + 8);
  block.set(seed);
  const count = new DataView(block.buffer, seed.length);
  let counter = 0n;
  let words = [];
  return async (bound) => {
    const fair = 2n ** WORD_BITS - (2n ** WORD_BITS % BigInt(bound));
    for (;;) {
      if (!words.length) {
        count.setBigUint64(0, counter);
        counter += 1n;
        const hashed = new DataView((await sha256(block)).buffer);
        words = [0, 8, 16, 24].map((at) => hashed.getBigUint64(at));
      }
      const word = words.shift();
      if (word < fair) return Number(word % BigInt(bound));
    }
  };
}
