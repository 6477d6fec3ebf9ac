// Reads frames as JSON, gives them to liveroom.js as a gateway would, and prints the state and what the user owns. Run by test_liveroom_js.py.

import { readFileSync } from "node:fs";
import { connect } from "../../liveroom/client/liveroom.js";

class Socket {
  constructor() {
    Socket.last = this;
  }
  close() {}
}

const frames = JSON.parse(readFileSync(0, "utf8"));
const room = connect({ url: "ws://x", room: "r", token: "t", WebSocket: Socket });
await new Promise((resolve) => setTimeout(resolve));
for (const frame of [{ type: "joined", user: "vera", time_ms: 1, commands_per_s: 1 }, ...frames]) Socket.last.onmessage({ data: JSON.stringify(frame) });
console.log(JSON.stringify({ state: room.state, entitlements: room.entitlements }));
room.close();
