/** The console's HTTP API. */

import { CommandRefused } from "/client/liveroom.js";

const SHOWCASE_TRIES_MAX = 4;
/** A command without an outcome is tried again for this time; the same bound as in the room's own stream. */
const COMMAND_TIMEOUT_MS = 60_000;
const ATTEMPT_TIMEOUT_MS = 10_000;
const BACKOFF_MAX_MS = 8_000;
/** Error codes that a server sends before the room has seen a command. After an earlier attempt they leave the outcome open. */
const UNDECIDED = new Set(["rate_limited", "overloaded"]);

let clockOffsetMs = performance.timeOrigin;

/** The server's clock by its last answer, in Unix ms; right to about a second. */
export function serverNowMs() {
  return performance.now() + clockOffsetMs;
}

/** GET as JSON; fails with `CommandRefused` when the server says why, else with `TypeError`. */
export async function get(path, token = null) {
  const response = await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-cache" });
  return read(response);
}

/** GET something that a page cannot start without. It retries without end, after growing pauses. */
export async function getAtLast(path) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await get(path);
    } catch {
      const boundMs = Math.min(BACKOFF_MAX_MS, 500 * 2 ** Math.min(tries, 30));
      await new Promise((resolve) => setTimeout(resolve, boundMs * (0.5 + Math.random() / 2)));
    }
  }
}

/** A room's showcase of at least `version`: HTTP may be a moment behind the room's own stream. */
export async function getShowcase(room, version) {
  for (let tries = 1; ; tries += 1) {
    const showcase = await get(`/v1/rooms/${encodeURIComponent(room)}/showcase`);
    if (showcase.version >= version || tries >= SHOWCASE_TRIES_MAX) return showcase;
    await new Promise((resolve) => setTimeout(resolve, 200 * tries));
  }
}

/** A new id for one command. Sending the command again with the same id returns the outcome of the first time. */
export function newCommandId() {
  return `web-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Send one command for a room. An attempt with an unknown outcome is repeated with the same id, so the command happens at most once.
 * `pause(delayMs)` is called before each repetition, and resolves when it may begin.
 */
export async function post(room, command, fields, token, pause, id = newCommandId()) {
  const request = {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Idempotency-Key": id },
    body: JSON.stringify(fields),
  };
  const endMs = performance.now() + COMMAND_TIMEOUT_MS;
  for (let tries = 1; ; tries += 1) {
    try {
      const signal = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
      return await read(await fetch(`/v1/rooms/${encodeURIComponent(room)}/commands/${command}`, { ...request, signal }));
    } catch (error) {
      const delayMs = Math.max(error.retryAfterMs ?? 0, Math.random() * Math.min(BACKOFF_MAX_MS, 500 * 2 ** tries));
      const open = isUnknown(error) || (tries > 1 && !error.seq && UNDECIDED.has(error.code));
      if (!open || performance.now() + delayMs >= endMs) throw error;
      await pause(delayMs);
    }
  }
}

/** True if a command that failed with `error` may have happened all the same. */
function isUnknown(error) {
  return error instanceof TypeError || error.name === "TimeoutError" || error.code === "unavailable";
}

async function read(response) {
  const toldMs = Date.parse(response.headers.get("Date"));
  if (toldMs) clockOffsetMs = toldMs + 500 - performance.now(); // the header has whole seconds
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new CommandRefused({ code: "unavailable", detail: response.statusText, ...body });
}
