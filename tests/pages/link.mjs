// Links the modules of a page as a browser does before it runs them, and prints their files. Run by test_static.py:
// node --experimental-vm-modules link.mjs STATIC CLIENT_JS ENTRY

import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SourceTextModule } from "node:vm";

const [folder, client, entry] = process.argv.slice(2);
const modules = new Map();

function load(path) {
  if (!modules.has(path)) modules.set(path, new SourceTextModule(readFileSync(path, "utf8"), { identifier: path }));
  return modules.get(path);
}

function fileOf(address, importer) {
  if (address === "/client/liveroom.js") return resolve(client);
  return address.startsWith("/static/") ? join(resolve(folder), address.slice("/static/".length)) : resolve(dirname(importer), address);
}

await load(fileOf(entry, "")).link((address, importer) => load(fileOf(address, importer.identifier)));
console.log(JSON.stringify([...modules.keys()]));
