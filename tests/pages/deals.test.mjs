// The viewer page's memory of money, without a page. Run by test_money_modules.py, or: node --test tests/pages/

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import { EnvelopeQueue } from "../../liveroom/console/static/js/features/red_envelope/envelope-queue.js";
import { usable } from "../../liveroom/console/static/js/features/coupon/price.js";
import { callAll, mountAll } from "../../liveroom/console/static/js/features/parts.js";
import { Taps } from "../../liveroom/console/static/js/viewer/taps.js";

const view = (envelope, opens_ms, closes_ms = opens_ms + 60_000, more = {}) => ({ envelope, opens_ms, closes_ms, ...more });
const phases = (queue) => queue.items.map(({ envelope, phase }) => `${envelope} ${phase}`);

test("an envelope waits, comes up shortly before it opens, and opens by the clock even if its event is late", () => {
  const queue = new EnvelopeQueue();
  const shown = (nowMs, more) => (queue.show([view(7, 100_000, 160_000, more)], nowMs), queue.top?.envelope ?? null);
  assert.equal(shown(0), null);
  assert.deepEqual(phases(queue), ["7 announced"]);
  assert.equal(queue.dueMs(0), 90_000);
  assert.equal(shown(90_000), 7);
  shown(99_999);
  assert.equal(queue.top.phase, "announced");
  assert.equal(queue.dueMs(99_999), 100_000);
  shown(100_000);
  assert.equal(queue.top.phase, "open");
  shown(160_000);
  assert.equal(queue.top.phase, "over");
});

test("an envelope that the room says is open is open, whatever the clock says", () => {
  const queue = new EnvelopeQueue();
  queue.show([view(7, 100_000, 160_000, { open: true })], 99_000);
  assert.equal(queue.top.phase, "open");
});

test("of several the newest open one lies on top, also over one that was chosen; not over one that is being grabbed", () => {
  const queue = new EnvelopeQueue();
  const [old, young, later] = [view(1, 0), view(2, 50), view(3, 100)];
  queue.show([old], 10);
  assert.equal(queue.top.envelope, 1);
  queue.show([old, young], 60);
  assert.equal(queue.top.envelope, 2);
  queue.choose(1);
  queue.show([old, young], 70);
  assert.equal(queue.top.envelope, 1);
  queue.show([old, young, later], 110, { busy: (envelope) => envelope === 1 });
  assert.equal(queue.top.envelope, 1);
  queue.show([old, young, later], 120);
  assert.equal(queue.top.envelope, 1, "it was chosen, and nothing has opened since");
  const newest = view(4, 130);
  queue.show([old, young, later, newest], 140);
  assert.equal(queue.top.envelope, 4);
});

test("what is put aside stays at hand and does not come up again by itself", () => {
  const queue = new EnvelopeQueue();
  queue.show([view(1, 0)], 10);
  queue.putAside();
  queue.show([view(1, 0)], 20);
  assert.equal(queue.top, null);
  assert.deepEqual(phases(queue), ["1 open"]);
  queue.choose(1);
  queue.show([view(1, 0)], 30);
  assert.equal(queue.top.envelope, 1);
});

test("what came of an envelope stays on top for a while, longer while it is read, then at hand, then goes", () => {
  const queue = new EnvelopeQueue();
  queue.show([view(1, 0)], 10);
  queue.close({ envelope: 1, reason: "empty" });
  queue.show([], 1_000);
  assert.equal(queue.top.close.reason, "empty");
  assert.equal(queue.dueMs(1_000), 16_000);
  queue.show([], 16_000, { held: () => true });
  assert.equal(queue.top.envelope, 1);
  queue.show([], 61_000, { held: () => true });
  assert.equal(queue.top, null);
  assert.deepEqual(phases(queue), ["1 over"]);
  queue.show([], 181_000);
  assert.deepEqual(phases(queue), []);
  assert.equal(queue.dueMs(181_000), Infinity);
});

test("of those that are over only the last few are kept, whatever a room drops", () => {
  const queue = new EnvelopeQueue();
  for (let envelope = 1; envelope <= 40; envelope += 1) {
    queue.show([view(envelope, 0)], envelope);
    queue.show([], envelope);
  }
  assert.ok(queue.items.length <= 4, phases(queue));
  assert.equal(queue.items[0].envelope, 40);
});

/** A room whose answers the test gives. */
class FakeRoom extends EventTarget {
  joined = { user: "vera" };
  sent = [];
  timeMs = 5_000;
  nowMs() {
    return this.timeMs;
  }
  send(command, { id }) {
    return new Promise((resolve, reject) => this.sent.push({ id, command, resolve: (result) => resolve({ result }), reject }));
  }
  join() {
    this.dispatchEvent(new CustomEvent("joined"));
  }
}
class FakeStorage {
  kept = new Map();
  getItem = (name) => this.kept.get(name) ?? null;
  setItem = (name, value) => this.kept.set(name, value);
}
const refusal = (code, retryAfterMs = 0) => Object.assign(new Error(code), { name: "CommandRefused", code, retryAfterMs });
const turn = () => new Promise((resolve) => setTimeout(resolve));
const grab = { type: "grab_red_envelope", envelope: 7 };

function begin(storage = new FakeStorage(), timeMs = 5_000) {
  const room = Object.assign(new FakeRoom(), { timeMs });
  const taps = new Taps(room, "demo", storage, randomUUID);
  room.join();
  return { room, taps, storage };
}

test("taps on what is under way are one command; a new one may follow its answer", async () => {
  const { room, taps } = begin();
  for (let count = 0; count < 5; count += 1) taps.tap("grab 7", grab);
  assert.equal(room.sent.length, 1);
  room.dispatchEvent(new CustomEvent("queued", { detail: { id: room.sent[0].id, ahead: 3 } }));
  assert.deepEqual([taps.of("grab 7").phase, taps.of("grab 7").ahead, taps.waits("grab 7")], ["queued", 3, true]);
  room.sent[0].reject(refusal("envelope_not_open", 400));
  await turn();
  assert.deepEqual([taps.of("grab 7").phase, taps.of("grab 7").againMs], ["refused", 5_400]);
  taps.tap("grab 7", grab);
  assert.notEqual(room.sent[1].id, room.sent[0].id, "a refusal is final");
  room.sent[1].resolve({ amount_fen: 12 });
  await turn();
  assert.deepEqual([taps.of("grab 7").phase, taps.of("grab 7").result], ["done", { amount_fen: 12 }]);
});

for (const error of [Object.assign(new Error("no answer"), { name: "CommandUnanswered" }), refusal("unavailable"), refusal("overloaded")]) {
  test(`after ${error.name} ${error.code ?? ""} the next tap is the same command again, unless it asks for something else`, async () => {
    const { room, taps } = begin();
    const two = { type: "reserve_stock", sale: 3, quantity: 2 };
    taps.tap("reserve 3", two);
    room.sent[0].reject(error);
    await turn();
    taps.tap("reserve 3", two);
    assert.equal(room.sent[1].id, room.sent[0].id);
    room.sent[1].reject(error);
    await turn();
    taps.tap("reserve 3", { ...two, quantity: 1 });
    assert.notEqual(room.sent[2].id, room.sent[0].id);
  });
}

test("a page that is loaded anew asks again under the same id for what it did not hear of", async () => {
  const { room, taps, storage } = begin();
  taps.tap("grab 7", grab);
  taps.tap("claim 9", { type: "claim_coupon", coupon: 9 });
  room.sent[1].resolve({ code: "A" });
  await turn();
  const again = begin(storage);
  assert.deepEqual(again.room.sent.map(({ id, command }) => [id, command]), [[room.sent[0].id, grab]]);
  assert.ok(again.taps.waits("grab 7"));
  again.room.sent[0].resolve({ amount_fen: 5 });
  await turn();
  assert.equal(begin(storage).room.sent.length, 0);
});

test("another user in the same window asks for nothing of the first one's", async () => {
  const { taps, storage } = begin();
  taps.tap("grab 7", grab);
  const room = new FakeRoom();
  room.joined = { user: "victor" };
  new Taps(room, "demo", storage, randomUUID);
  room.join();
  assert.equal(room.sent.length, 0);
});

test("what was tapped long ago is not asked for again by itself; a tap finds its outcome as long as the room knows it, by the server's clock", async () => {
  const { room, taps, storage } = begin();
  taps.tap("grab 7", grab);
  const { id } = room.sent[0];
  const later = begin(storage, 125_000);
  assert.equal(later.room.sent.length, 0);
  later.taps.tap("grab 7", grab);
  assert.equal(later.room.sent[0].id, id);
  const latest = begin(storage, 705_000);
  latest.taps.tap("grab 7", grab);
  assert.notEqual(latest.room.sent[0].id, id);
});

test("coupons are offered by what they take off; used and expired ones are not", () => {
  const coupon = (code, terms, more = {}) => ({ code, terms, order: "", valid_until_ms: 100, ...more });
  const own = [
    coupon("A", { amount_fen: 500 }),
    coupon("B", { percent_off: 20 }),
    coupon("C", { amount_fen: 900, min_spend_fen: 50_000 }),
    coupon("D", { amount_fen: 5_000 }, { order: "hold-7" }),
    coupon("E", { amount_fen: 5_000 }, { valid_until_ms: 50 }),
  ];
  assert.deepEqual(usable(own, 10_000, 50).map(({ code }) => code), ["B", "A", "C"]);
});

test("an error in one feature is reported and reaches no other", (t) => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  t.after(() => delete globalThis.reportError);
  const broken = { mount: () => { throw new Error("mount"); } };
  const wrong = { mount: () => ({ show: () => { throw new Error("show"); } }) };
  const whole = { mount: ({ name }) => ({ show: (seen) => `${name} ${seen}` }) };
  const parts = mountAll([broken, wrong, whole], { name: "demo" });
  assert.deepEqual(callAll(parts, "show", 7), [undefined, undefined, "demo 7"]);
  assert.deepEqual(callAll(parts, "redraw"), [undefined, undefined, undefined]);
  assert.deepEqual(reported, ["mount", "show"]);
});
