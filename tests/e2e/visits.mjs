// Visits from Node, all at once: `node visits.mjs ws MODULE` or `node visits.mjs built-in`. Reads [{plan, options}] as JSON, prints what each was told.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { visit } from "./visit.mjs";

const [kind, module] = process.argv.slice(2);
const Client = kind === "ws" ? (await import(pathToFileURL(module))).default : globalThis.WebSocket;

function sendParted(socket, text) {
  const [head, middle, tail] = [text.slice(0, 1), text.slice(1, 2000), text.slice(2000)];
  socket.send(head, { fin: false });
  socket.send(middle, { fin: false });
  socket.send(tail, { fin: true });
}

function ping(socket) {
  return new Promise((resolve) => {
    socket.once("pong", resolve);
    socket.ping("are you there");
  });
}

const visits = JSON.parse(readFileSync(0, "utf8")).map(({ plan, options }) =>
  kind === "ws"
    ? visit((url, protocols) => new Client(url, protocols, options), plan, { sendParted, ping })
    : visit((url, protocols) => new Client(url, protocols), plan),
);
console.log(JSON.stringify(await Promise.all(visits)));
