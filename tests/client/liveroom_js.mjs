// liveroom.js under node, over a real WebSocket: tells what its room dispatches, one JSON object a line, and takes orders from stdin.
// node --experimental-websocket liveroom_js.mjs '{"url": "ws://...", "fixed": "t1"}' (or "gives": ["t1", null, ...]: what the token function gives; null = it fails)

import { connect } from "../../liveroom/client/liveroom.js";

const { fixed, gives = [], ...options } = JSON.parse(process.argv[2]);
const tell = (type, detail = {}) => console.log(JSON.stringify({ type, ...detail }));

let asked = 0;
const token = () => {
  const given = gives[Math.min(asked, gives.length - 1)];
  asked += 1;
  if (given === null) throw new Error("no network");
  return given;
};

const room = connect({ room: "demo", token: fixed ?? token, backoffMs: 2, backoffMaxMs: 8, ...options });
for (const type of ["joined", "disconnected", "reconnecting", "unauthorized", "replaced", "banned", "closed"]) {
  room.addEventListener(type, ({ detail }) => {
    tell(type, detail);
    if (type === "closed") process.stdin.destroy(); // nothing is left to do: the process ends by itself
  });
}
const say = ({ text, id, timeoutMs }) => {
  const command = { type: "send_chat", text };
  room.send(command, { id, timeoutMs }).catch(({ name, message, code, reason, sent }) => tell("failed", { text, name, words: message, code, reason, sent }));
  tell("saying");
};
process.stdin.on("data", (orders) => {
  for (const order of String(orders).split("\n")) {
    if (order === "retry") room.retryNow();
    if (order.startsWith("say ")) say(JSON.parse(order.slice(4)));
  }
});
process.stdin.on("end", () => room.close());
