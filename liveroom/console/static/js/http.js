/** The console's HTTP API. */

import { CommandRefused } from "/client/liveroom.js";

const TRIES_MAX = 4;

/** GET as JSON; fails with `CommandRefused` when the server says why, else with `TypeError`. */
export async function get(path, token = null) {
  const response = await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-cache" });
  return read(response);
}

/** A room's showcase of at least `version`: HTTP may be a moment behind the room's own stream. */
export async function getShowcase(room, version) {
  for (let tries = 1; ; tries += 1) {
    const showcase = await get(`/v1/rooms/${encodeURIComponent(room)}/showcase`);
    if (showcase.version >= version || tries >= TRIES_MAX) return showcase;
    await new Promise((resolve) => setTimeout(resolve, 200 * tries));
  }
}

/** Send one command for a room. An attempt whose outcome is unknown is made again with the same id, so it happens at most once. */
export async function post(room, command, fields, token) {
  const id = `web-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const request = {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Idempotency-Key": id },
    body: JSON.stringify(fields),
  };
  for (let tries = 1; ; tries += 1) {
    try {
      return await read(await fetch(`/v1/rooms/${encodeURIComponent(room)}/commands/${command}`, request));
    } catch (error) {
      const unknown = error instanceof TypeError || error.code === "unavailable";
      if (!unknown || tries >= TRIES_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 500 * 2 ** tries));
    }
  }
}

async function read(response) {
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new CommandRefused({ code: "unavailable", detail: response.statusText, ...body });
}
