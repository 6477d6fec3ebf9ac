// liveroom.js against a WebSocket that the test plays by hand. Run by test_liveroom_js.py, or: node --test tests/pages/

import assert from "node:assert/strict";
import test from "node:test";
import { COMMANDS_WAITING_MAX, CommandRefused, CommandUnanswered, Disconnected, EVENTS_WAITING_MAX, FEATURES, LIKES_MAX, RETRIES_MAX, SENT_IDS_MAX, TooManyCommands, connect, fold } from "../../liveroom/client/liveroom.js";

/** A WebSocket whose server side is the test. */
class FakeSocket {
  static made = [];
  sent = [];
  closed = null;

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.made.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(code) {
    this.closed ??= code ?? 1000;
  }
  says(...frames) {
    for (const frame of frames) this.onmessage({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }
  drops(code, reason = "") {
    this.onclose({ code, reason });
  }
}

const TIME_MS = 1_700_000_000_000;
const joined = (more = {}) => ({ type: "joined", room: "r", stream_id: "e", user: "vera", name: "Vera", role: "viewer", seq: 0, resumed: false, time_ms: TIME_MS, command_bytes_max: 4096, commands_per_s: 1000, idle_ms: 60_000, ...more });
const keyframe = (seq = 10, more = {}) => ({ type: "keyframe", room: "r", stream_id: "e", seq, time_ms: TIME_MS, title: "t", anchor: "anna", open: true, opened_ms: 1, ...more });
const entitlements = (more = {}) => ({ type: "entitlements", seq: 10, ...more });
const chat = (seq, text = `line ${seq}`) => ({ type: "chat_sent", seq, user: "bob", name: "Bob", text });
const delta = (from, to, events) => ({ type: "delta", from, to, time_ms: TIME_MS, events });
const until = async (holds) => {
  for (let turns = 0; !holds(); turns += 1) {
    assert.ok(turns < 2_000, `never happened: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};

function begin(t, options = {}) {
  FakeSocket.made = [];
  const room = connect({ url: "ws://gateway", room: "r", token: "a.b.c", WebSocket: FakeSocket, backoffMs: 2, backoffMaxMs: 8, likesBatchMs: 5, ...options });
  const seen = [];
  for (const type of ["joined", "event", "personal", "queued", "interruption", "state", "entitlements", "skipped", "disconnected", "reconnecting", "unauthorized", "replaced", "banned", "closed"]) room.addEventListener(type, ({ detail }) => seen.push([type, detail]));
  const of = (type) => seen.filter(([name]) => name === type).map(([, detail]) => detail);
  t.after(() => room.close());
  return { room, of, sockets: FakeSocket.made };
}

async function live(t, options) {
  const begun = begin(t, options);
  await until(() => begun.sockets.length === 1);
  begun.sockets[0].says(joined(), keyframe(), entitlements());
  return begun;
}

test("the token goes by subprotocol, never in the address; the room id is escaped", async (t) => {
  const { sockets } = begin(t, { room: "a/b" });
  await until(() => sockets.length === 1);
  assert.equal(sockets[0].url, "ws://gateway/v1/rooms/a%2Fb");
  assert.deepEqual(sockets[0].protocols, ["liveroom.v1", "liveroom.token.a.b.c"]);
});

test("the server's clock is that of the frame that makes it latest: a room where nothing happened for an hour has an old keyframe", async (t) => {
  const { room, sockets } = begin(t);
  await until(() => sockets.length === 1);
  const near = (timeMs) => Math.abs(room.nowMs() - timeMs) < 1_000;
  sockets[0].says(joined(), keyframe(10, { time_ms: TIME_MS - 3_600_000 }));
  assert.ok(near(TIME_MS));
  sockets[0].says({ ...delta(10, 11, []), time_ms: TIME_MS + 5_000 }, { ...delta(11, 12, []), time_ms: TIME_MS + 4_000 });
  assert.ok(near(TIME_MS + 5_000));
  for (let seq = 12; seq < 40; seq += 1) sockets[0].says({ ...delta(seq, seq + 1, []), time_ms: TIME_MS + 1_000 }); // the device's clock was put on
  assert.ok(near(TIME_MS + 1_000));
});

test("bad options are told at once", () => {
  assert.throws(() => connect({ url: "http://x", room: "r", token: "t" }), /url/);
  assert.throws(() => connect({ url: "ws://x", token: "t" }), /room/);
  assert.throws(() => connect({ url: "ws://x", room: "r" }), /token/);
  const own = Object.getOwnPropertyDescriptor(globalThis, "WebSocket"); // Node 22 has one, Node 20 has none
  delete globalThis.WebSocket;
  try {
    assert.throws(() => connect({ url: "ws://x", room: "r", token: "t" }), /options\.WebSocket, for example from the package ws/);
  } finally {
    if (own) Object.defineProperty(globalThis, "WebSocket", own);
  }
});

test("a keyframe is the state with its defaults; deltas are folded into it; ready resolves", async (t) => {
  const { room, of } = await live(t);
  assert.equal(await room.ready, room);
  assert.deepEqual([room.status, room.state.title, room.state.likes, room.state.chat], ["live", "t", 0, []]);
  FakeSocket.made[0].says(delta(10, 13, [chat(10), { type: "likes_added", seq: 12, count: 2, total: 9 }]));
  assert.deepEqual([room.seq, room.state.seq, room.state.likes, room.state.chat[0].text], [13, 13, 9, "line 10"]);
  assert.deepEqual(of("event").map(({ seq, time_ms }) => [seq, time_ms]), [[10, TIME_MS], [12, TIME_MS]]);
});

test("states are snapshots: what changes is new, what does not is the same, and what was given out stays as it was", async (t) => {
  const { room, sockets } = await live(t);
  sockets[0].says(delta(10, 12, [chat(10), { type: "question_asked", seq: 11, user: "bob", name: "Bob", text: "?" }]));
  const before = room.state;
  const frozen = JSON.stringify(before);
  sockets[0].says(delta(12, 14, [chat(12), { type: "message_deleted", seq: 13, message: 10 }]));
  assert.notEqual(room.state, before);
  assert.notEqual(room.state.chat, before.chat);
  assert.equal(room.state.chat.at(-1).seq, 12);
  for (const name of ["questions", "sales", "coupons", "envelopes", "try_ons"]) assert.equal(room.state[name], before[name], name);
  sockets[0].says(delta(14, 15, [{ type: "question_picked", seq: 14, question: 11 }]), delta(15, 16, [{ type: "try_on_requested", seq: 15, product: "p", count: 1 }]));
  assert.equal(JSON.stringify(before), frozen);
  assert.equal(room.state.questions[0].state, "picked");
});

test("every event leaves the state that was before it as it was, whatever the event", () => {
  const deep = (value) => {
    if (value && typeof value === "object" && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(deep);
    return value;
  };
  const sale = { sale: 1, product: "p", title: "t", price_fen: 1, stock: 2, available: 2, held: 0, sold: 0, state: "open" };
  let state = deep({ ...keyframe(), try_ons: {}, envelopes: [{ envelope: 2, open: false }], coupons: [{ coupon: 3 }], sales: [sale], questions: [{ seq: 4, state: "asked" }], chat: [] });
  const events = [
    ["room_opened", { title: "x", anchor: "a", stream_id: "e", rules: {} }], ["room_closed", { reason: "late" }], ["announcement_set", { text: "x" }], ["chat_sent", chat(20)],
    ["message_deleted", { message: 20 }], ["slow_mode_set", { interval_ms: 1 }], ["chat_budget_set", { lines_per_s: 1 }], ["question_asked", chat(21)],
    ["question_picked", { question: 4 }], ["question_answered", { question: 4 }], ["question_dismissed", { question: 4 }], ["likes_added", { total: 1 }], ["product_added", {}],
    ["try_on_requested", { product: "constructor", count: 3 }], ["try_on_requested", { product: "__proto__", count: 4 }], ["product_removed", { product: "constructor" }],
    ["product_pinned", { product: { id: "p" } }], ["product_unpinned", {}], ["audience_counted", { viewers: 1 }], ["red_envelope_dropped", {}], ["red_envelope_opened", { envelope: 2 }],
    ["red_envelope_grabbed", { envelope: 2 }], ["red_envelope_closed", { envelope: 2 }], ["coupon_issued", {}], ["coupon_left", { coupon: 3 }], ["coupon_stopped", { coupon: 3 }],
    ["coupon_expired", { coupon: 3 }], ["flash_sale_announced", {}], ["flash_sale_opened", { sale: 1 }], ["flash_sale_restocked", { sale: 1 }], ["stock_changed", { sale: 1, held: 1 }],
    ["flash_sale_closed", { sale: 1, held: 1 }], ["constructor", {}], ["toString", {}], ["__proto__", {}],
  ];
  for (const [type, fields] of events) state = deep(fold(state, { seq: 30, time_ms: 1, ...fields, type }, { chatLinesKept: 5 })); // a module is strict: a write to what is frozen throws
  assert.deepEqual({ ...state.try_ons }, { ["__proto__"]: 4 });
  assert.equal(state.close_reason, "late");
});

test("a feature of somebody else folds its part of the state and of the entitlements", async (t) => {
  FEATURES.poll = {
    state: ({ polls = [] }) => ({ polls }),
    events: { poll_opened: ({ polls }, { seq, text }) => ({ polls: [...polls, { poll: seq, text }] }), poll_closed: ({ polls }, { poll }) => ({ polls: polls.filter((one) => one.poll !== poll) }) },
    entitlements: ({ votes = [] }) => ({ votes }),
    entitled: { vote_cast: ({ votes }, { poll }) => ({ votes: [...votes, poll] }) },
    pruned: ({ votes }, before, after) => (before.polls === after.polls ? null : { votes: votes.filter((vote) => after.polls.some(({ poll }) => poll === vote)) }),
    personal: ({ receipt }) => ({ receipt }),
  };
  t.after(() => delete FEATURES.poll);
  const { room, of, sockets } = await live(t);
  assert.deepEqual([room.state.polls, room.entitlements.votes], [[], []]);
  sockets[0].says(delta(10, 11, [{ type: "poll_opened", seq: 10, text: "Red?" }]), { type: "personal", time_ms: 1, event: { type: "vote_cast", seq: 11, user: "vera", poll: 10 }, receipt: "r" });
  assert.deepEqual(room.state.polls, [{ poll: 10, text: "Red?" }]);
  assert.deepEqual(room.entitlements.votes, [10]);
  assert.equal(of("personal")[0].receipt, "r");
  sockets[0].says(delta(11, 12, [{ type: "poll_closed", seq: 11, poll: 10 }]));
  assert.deepEqual([room.state.polls, room.entitlements.votes], [[], []]);
});

test("names that objects have themselves are names like any other", async (t) => {
  const { room, sockets } = await live(t);
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) assert.equal(room.state.try_ons[name], undefined, name);
  sockets[0].says(delta(10, 11, [{ type: "try_on_requested", seq: 10, product: "__proto__", count: 2 }]));
  assert.equal(room.state.try_ons["__proto__"], 2);
});

test("spans below the cursor are ignored, a span across it gives only what is new", async (t) => {
  const { room, of, sockets } = await live(t);
  sockets[0].says(delta(5, 10, [chat(7)]), delta(8, 12, [chat(8), chat(9), chat(10), chat(11)]));
  assert.deepEqual(of("event").map(({ seq }) => seq), [10, 11]);
  assert.equal(room.seq, 12);
});

test("a gap is not passed over: the client comes back and resumes where it stood", async (t) => {
  const { room, of, sockets } = await live(t);
  sockets[0].says(delta(10, 11, [chat(10)]), delta(15, 16, [chat(15)]));
  assert.deepEqual(of("event").map(({ seq }) => seq), [10]);
  assert.ok(sockets[0].closed);
  await until(() => sockets.length === 2);
  assert.match(sockets[1].url, /\?stream_id=e&seq=11$/);
  sockets[1].says(joined({ resumed: true, seq: 9 }), delta(9, 16, [chat(9), chat(10), chat(11), chat(15)]));
  assert.deepEqual(of("event").map(({ seq }) => seq), [10, 11, 15]);
  assert.deepEqual(room.state.chat.map(({ seq }) => seq), [10, 11, 15]);
});

test("what a lost socket still says is not heard", async (t) => {
  const { of, sockets } = await live(t);
  sockets[0].drops(1006);
  sockets[0].says(delta(10, 11, [chat(10)]));
  assert.equal(of("event").length, 0);
});

test("a keyframe in-band after skipped replaces everything", async (t) => {
  const { room, of, sockets } = await live(t);
  sockets[0].says(delta(10, 11, [chat(10)]), { type: "skipped", from: 11, to: 40 }, keyframe(40, { title: "new" }), delta(40, 41, [chat(40)]));
  assert.deepEqual(of("skipped"), [{ from: 11, to: 40 }]);
  assert.deepEqual([room.state.title, room.seq, room.state.chat.map(({ seq }) => seq)], ["new", 41, [40]]);
});

test("an interruption is told and known while it lasts; the connection stays, and a new one begins without it", async (t) => {
  const { room, of, sockets } = await live(t);
  sockets[0].says({ type: "interruption", since_ms: 7 });
  assert.deepEqual([room.status, room.interruption], ["live", { sinceMs: 7 }]);
  sockets[0].says({ type: "interruption", since_ms: 7, over: true });
  assert.equal(room.interruption, null);
  assert.deepEqual(of("interruption"), [{ sinceMs: 7, over: false }, { sinceMs: 7, over: true }]);
  sockets[0].says({ type: "interruption", since_ms: 9 });
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  sockets[1].says(joined({ resumed: true }));
  assert.equal(room.interruption, null);
});

test("frames and events of a later version change nothing; a frame that is no JSON makes it come back", async (t) => {
  const { room, sockets } = await live(t);
  sockets[0].says({ type: "hologram" }, delta(10, 11, [{ type: "envelope_dropped", seq: 10 }]));
  assert.deepEqual([room.seq, room.status], [11, "live"]);
  sockets[0].says("{");
  assert.equal(room.status, "reconnecting");
});

test("when it stays away, commands fail: those that wait, and new ones", async (t) => {
  const { room, sockets, of } = await live(t);
  const waits = room.sendChat("hi");
  sockets[0].drops(4504, "why");
  assert.deepEqual([room.status, of("closed")], ["closed", [{ code: 4504, reason: "why" }]]);
  await assert.rejects(waits, CommandUnanswered);
  await assert.rejects(room.sendChat("more"), Disconnected);
  assert.equal(sockets.length, 1);
});

test("a command that was never sent fails with the room's end, one that went out as unanswered, which names that end", async (t) => {
  const { room, sockets } = begin(t);
  const early = room.sendChat("hi");
  await until(() => sockets.length === 1);
  sockets[0].drops(4501, "another room");
  await assert.rejects(early, (error) => error instanceof Disconnected && error.code === 4501 && error.reason === "another room");
  const second = await live(t);
  const sent = second.room.sendChat("hi");
  second.sockets[0].drops(4504, "why");
  await assert.rejects(sent, (error) => error instanceof CommandUnanswered && error.code === 4504 && error.reason === "why" && error.sent);
});

test("a command whose time runs out without a connection says that this call did not send it, and names the last end", async (t) => {
  const { room, sockets } = await live(t, { backoffMs: 1_000_000, backoffMaxMs: 1_000_000, random: () => 1 });
  sockets[0].drops(1013, "busy");
  const waits = room.send({ type: "send_chat", text: "a" }, { timeoutMs: 5 });
  await assert.rejects(waits, (error) => error instanceof CommandUnanswered && !error.sent && error.code === 1013 && /this call did not send/.test(error.message));
});

const chatLine = { type: "send_chat", text: "a" };
const ofSend = async (room, options = {}) => {
  try {
    return await room.send(chatLine, { timeoutMs: 5, ...options });
  } catch (error) {
    return [error.name, error.sent ?? error.code];
  }
};

test("an id that went out stays sent in later calls, until its outcome is known, and also when the room is left", async (t) => {
  const { room, sockets } = await live(t, { backoffMs: 1_000_000, backoffMaxMs: 1_000_000, random: () => 1 });
  assert.deepEqual(await ofSend(room, { id: "buy-1" }), ["CommandUnanswered", true]);
  assert.deepEqual(await ofSend(room, { id: "buy-2" }), ["CommandUnanswered", true]);
  const answered = room.send(chatLine, { id: "buy-2" });
  sockets[0].says({ type: "accepted", id: "buy-2", seq: 11 });
  await answered;
  sockets[0].drops(1013, "busy");
  assert.deepEqual(await ofSend(room, { id: "buy-1" }), ["CommandUnanswered", true]);
  assert.deepEqual(await ofSend(room, { id: "buy-1" }), ["CommandUnanswered", true]);
  assert.deepEqual(await ofSend(room, { id: "buy-2" }), ["CommandUnanswered", false]);
  assert.deepEqual(await ofSend(room), ["CommandUnanswered", false]);
  const waits = room.send(chatLine, { id: "buy-1" });
  room.close();
  await assert.rejects(waits, (error) => error instanceof CommandUnanswered && error.sent);
  assert.deepEqual(await ofSend(room, { id: "buy-1" }), ["CommandUnanswered", true]);
  assert.deepEqual(await ofSend(room, { id: "buy-3" }), ["Disconnected", 1000]);
});

test("a command that is unavailable to the end may have happened: its id stays sent", async (t) => {
  const { room, sockets } = await live(t, { backoffMs: 1, backoffMaxMs: 1 });
  const waits = room.send(chatLine, { id: "buy-1" });
  for (let sent = 1; sent <= RETRIES_MAX + 1; sent += 1) {
    await until(() => sockets[0].sent.length === sent);
    sockets[0].says({ type: "refused", id: "buy-1", code: "unavailable", detail: "not now" });
  }
  await assert.rejects(waits, (error) => error.code === "unavailable");
  room.close();
  assert.deepEqual(await ofSend(room, { id: "buy-1" }), ["CommandUnanswered", true]);
});

test("a command that went out is not refused by the lower limit of the next gateway", async (t) => {
  const { room, sockets } = await live(t);
  const waits = room.send({ type: "send_chat", text: "x".repeat(100) }, { id: "buy-1" });
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  sockets[1].says(joined({ command_bytes_max: 64 }));
  await assert.rejects(waits, (error) => error instanceof CommandUnanswered && error.sent);
});

test("so many sent ids are remembered; once one is forgotten, every id of the caller may have gone out", async (t) => {
  for (const count of [SENT_IDS_MAX, SENT_IDS_MAX + 1]) {
    const { room, sockets } = begin(t);
    await until(() => sockets.length === 1);
    sockets[0].says(joined({ commands_per_s: 1_000_000_000 }), keyframe(), entitlements());
    for (let first = 0; first < count; first += COMMANDS_WAITING_MAX) {
      const ids = Array.from({ length: Math.min(COMMANDS_WAITING_MAX, count - first) }, (_, index) => `buy-${first + index}`);
      assert.deepEqual(new Set((await Promise.all(ids.map((id) => ofSend(room, { id })))).map(String)), new Set(["CommandUnanswered,true"]));
    }
    room.close();
    assert.deepEqual(await ofSend(room, { id: "buy-0" }), ["CommandUnanswered", true]);
    assert.deepEqual(await ofSend(room, { id: "another" }), count > SENT_IDS_MAX ? ["CommandUnanswered", true] : ["Disconnected", 1000]);
    assert.deepEqual(await ofSend(room), ["Disconnected", 1000]);
  }
});

test("`closed` is dispatched also when connecting fails at once", async (t) => {
  const { of } = begin(t, {
    WebSocket: class {
      constructor() {
        throw new SyntaxError("no such address");
      }
    },
  });
  await until(() => of("closed").length === 1);
  assert.match(of("closed")[0].reason, /no such address/);
});

test("a socket that reports errors to its listener alone, as ws does in Node, does not crash the process", async (t) => {
  const { sockets } = await live(t);
  sockets[0].onerror(new Error("ECONNREFUSED"));
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
});

test("a window that was replaced does not fight back: it comes back when it is used", async (t) => {
  const { room, sockets, of } = await live(t);
  sockets[0].drops(4003, "too many");
  assert.deepEqual([room.status, of("replaced"), of("reconnecting")], ["replaced", [{ code: 4003, reason: "too many" }], []]);
  const said = room.sendChat("here again");
  await until(() => sockets.length === 2);
  sockets[1].says(joined({ resumed: true }));
  sockets[1].says({ type: "accepted", id: sockets[1].sent[0].id, seq: 11 });
  assert.equal((await said).seq, 11);
  sockets[1].drops(4003);
  room.retryNow();
  await until(() => sockets.length === 3);
  assert.equal(room.status, "reconnecting");
});

test("a gateway that lets in and closes at once gets a handful of attempts in 30 s", async (t) => {
  const passes = stopTime(t);
  const { sockets } = begin(t, { backoffMs: 500, backoffMaxMs: 20_000, random: Math.random });
  let answered = 0;
  for (let second = 0; second < 300; second += 1) {
    await Promise.resolve().then(() => {}).then(() => {});
    for (; answered < sockets.length; answered += 1) {
      sockets[answered].says(joined(), keyframe(), entitlements(), delta(10, 11, [chat(10)]));
      sockets[answered].drops(1011);
    }
    passes(100);
  }
  assert.ok(answered >= 4 && answered <= 20, `${answered} connections`);
});

test("a banned user learns until when and why, and comes back by itself", async (t) => {
  const { room, sockets, of } = await live(t);
  sockets[0].says({ type: "banned", until_ms: TIME_MS + 20, time_ms: TIME_MS, reason: "spam" });
  sockets[0].drops(4502, "banned");
  assert.deepEqual([room.status, room.ban, of("banned")], ["banned", { untilMs: TIME_MS + 20, reason: "spam" }, [{ untilMs: TIME_MS + 20, reason: "spam" }]]);
  await until(() => sockets.length === 2);
  assert.ok(of("reconnecting")[0].delayMs >= 20);
  sockets[1].says(joined({ resumed: true }));
  assert.deepEqual([room.status, room.ban], ["live", null]);
});

test("after a long ban it looks again at times, for it may be lifted early", async (t) => {
  const { sockets, of } = await live(t);
  sockets[0].says({ type: "banned", until_ms: TIME_MS + 30 * 86_400_000, time_ms: TIME_MS });
  sockets[0].drops(4502);
  assert.ok(of("reconnecting")[0].delayMs <= 301_000);
});

test("what a token function gives is looked at before it is sent, and spaces around it are taken off", async (t) => {
  const given = ["<html><h1>502 Bad Gateway</h1></html>", '{"error": "no"}', null, "", " good.to-ken.x\n"];
  const { sockets, of } = begin(t, { token: () => given.shift() });
  await until(() => sockets.length === 1);
  assert.equal(sockets[0].protocols[1], "liveroom.token.good.to-ken.x");
  assert.deepEqual(of("disconnected").map(({ code }) => code), [3001, 3001, 3001, 3001]);
  assert.equal(of("unauthorized").length, 1);
});

test("a token function that never answers is asked again after the time to join", async (t) => {
  let asked = 0;
  const { sockets, of } = begin(t, { joinTimeoutMs: 10, token: () => ((asked += 1) < 3 ? new Promise(() => {}) : "t3") });
  await until(() => sockets.length === 1);
  assert.deepEqual(of("disconnected").map(({ code }) => code), [3001, 3001]);
  assert.equal(sockets[0].protocols[1], "liveroom.token.t3");
});

test("tokens that are refused: another is asked for, after three the page knows, and it goes on trying", async (t) => {
  let asked = 0;
  const { room, sockets, of } = begin(t, { token: () => `t${(asked += 1)}` });
  for (let count = 1; count <= 4; count += 1) {
    await until(() => sockets.length === count);
    sockets.at(-1).drops(4500, "bad token");
    assert.equal(room.status, count < 3 ? "reconnecting" : "unauthorized");
  }
  assert.deepEqual(of("unauthorized"), [{ code: 4500, reason: "bad token" }]);
  await until(() => sockets.length === 5);
  assert.equal(sockets[4].protocols[1], "liveroom.token.t5");
  sockets[4].says(joined(), keyframe(), entitlements());
  assert.equal(room.status, "live");
});

test("a handshake refused without a word may be a proxy's 401: every third attempt has another token", async (t) => {
  let asked = 0;
  const { sockets } = begin(t, { token: () => `t${(asked += 1)}` });
  for (let count = 1; count <= 6; count += 1) {
    await until(() => sockets.length === count);
    sockets.at(-1).drops(1006);
  }
  assert.deepEqual(sockets.slice(0, 6).map(({ protocols }) => protocols[1].slice(-2)), ["t1", "t1", "t2", "t2", "t2", "t3"]);
});

test("a page that only watches notices a dead link: beats are missing", async (t) => {
  const { sockets, of } = begin(t);
  await until(() => sockets.length === 1);
  const passes = stopTime(t);
  sockets[0].says(joined({ beat_ms: 1_000 }), keyframe(), entitlements());
  for (let beat = 0; beat < 5; beat += 1) {
    passes(1_500);
    sockets[0].says({ type: "beat", time_ms: TIME_MS });
  }
  assert.equal(sockets[0].closed, null);
  passes(1_999);
  assert.equal(sockets[0].closed, null);
  passes(2);
  assert.ok(sockets[0].closed);
  assert.deepEqual(of("disconnected"), [{ code: 1006, reason: "no data came from the gateway" }]);
});

test("a page that stood still probes before it judges; time that it slept is not the gateway's silence", async (t) => {
  const { sockets } = begin(t, { probeMs: 500 });
  await until(() => sockets.length === 1);
  const passes = stopTime(t);
  sockets[0].says(joined({ beat_ms: 1_000 }), keyframe(), entitlements());
  passes(3_600_000, { asleep: true });
  assert.deepEqual([sockets[0].sent, sockets[0].closed], [[{ type: "probe" }], null]);
  sockets[0].says({ type: "beat", time_ms: TIME_MS });
  passes(600);
  assert.equal(sockets[0].closed, null);
  passes(3_600_000, { asleep: true });
  assert.equal(sockets[0].sent.length, 2);
  passes(501);
  assert.ok(sockets[0].closed, "no answer");
});

test("a page that is seen again, or whose network is back, probes", async (t) => {
  const listeners = {};
  const page = { hidden: false, addEventListener: (type, listener) => (listeners[type] = listener), removeEventListener: () => {} };
  Object.assign(globalThis, { document: page, addEventListener: page.addEventListener, removeEventListener: page.removeEventListener });
  t.after(() => ["document", "addEventListener", "removeEventListener"].forEach((name) => delete globalThis[name]));
  const { sockets, of } = await live(t, { probeMs: 15 });
  page.hidden = true;
  listeners.visibilitychange({ type: "visibilitychange" });
  assert.deepEqual(sockets[0].sent, [], "hidden");
  page.hidden = false;
  listeners.visibilitychange({ type: "visibilitychange" });
  listeners.online({ type: "online" });
  assert.deepEqual(sockets[0].sent, [{ type: "probe" }], "one at a time");
  await until(() => sockets.length === 2);
  assert.equal(of("disconnected")[0].reason, "the gateway did not answer a probe");
});

test("a command that was too large for the gateway that it came to is refused, not sent again and again", async (t) => {
  const { room, sockets } = begin(t);
  const large = room.sendChat("x".repeat(5_000));
  await until(() => sockets.length === 1);
  sockets[0].says(joined(), keyframe(), entitlements());
  await assert.rejects(large, (error) => error.code === "too_large");
  assert.deepEqual(sockets[0].sent, []);
});

test("a token function is asked again when the token has expired, and only then", async (t) => {
  let asked = 0;
  const { sockets } = await live(t, { token: async () => `t${(asked += 1)}` });
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  sockets[1].drops(4000);
  await until(() => sockets.length === 3);
  assert.deepEqual(sockets.map(({ protocols }) => protocols[1]), ["liveroom.token.t1", "liveroom.token.t1", "liveroom.token.t2"]);
});

test("a token function that fails is asked again later", async (t) => {
  let asked = 0;
  const { sockets } = begin(t, {
    token: () => {
      if ((asked += 1) < 3) throw new Error("no network");
      return "t";
    },
  });
  await until(() => sockets.length === 1);
  assert.equal(asked, 3);
});

test("waits grow with full jitter up to the cap, and a state alone does not make them start over", async (t) => {
  const { sockets, of } = begin(t, { random: () => 0.5 });
  for (let round = 1; round <= 5; round += 1) {
    await until(() => sockets.length === round);
    sockets.at(-1).drops(1006);
  }
  await until(() => sockets.length === 6);
  sockets[5].says(joined(), keyframe());
  sockets[5].drops(1006);
  assert.deepEqual(of("reconnecting").map(({ delayMs }) => delayMs), [1, 2, 4, 4, 4, 4]);
});

test("a gateway that goes away says when to come back", async (t) => {
  const { sockets, of } = await live(t);
  sockets[0].says({ type: "going_away", reconnect_after_ms: 7 });
  sockets[0].drops(1012);
  assert.deepEqual(of("reconnecting"), [{ attempt: 1, delayMs: 7 }]);
  await until(() => sockets.length === 2);
});

test("a handshake that hangs is given up", async (t) => {
  const { sockets } = begin(t, { joinTimeoutMs: 10 });
  await until(() => sockets.length === 2);
  assert.ok(sockets[0].closed);
});

test("a gateway that says nothing at all while a command waits is given up, and the command goes out again", async (t) => {
  const { room, of, sockets } = await live(t, { silenceMs: 20 });
  const waits = room.sendChat("a");
  await until(() => sockets.length === 2);
  assert.ok(sockets[0].closed);
  assert.equal(of("disconnected")[0].reason, "no data came from the gateway");
  sockets[1].says(joined({ resumed: true, seq: 10 }));
  assert.equal(sockets[1].sent[0].id, sockets[0].sent[0].id);
  sockets[1].says({ type: "accepted", id: sockets[1].sent[0].id, seq: 11 });
  assert.equal((await waits).seq, 11);
});

/** From now on time passes only when the test says so: `passes(ms)`; asleep, timers are late. */
function stopTime(t) {
  const real = { setTimeout, clearTimeout, now: performance.now };
  const timers = new Map();
  let nowMs = performance.now();
  globalThis.setTimeout = (act, ms = 0) => {
    const key = {};
    timers.set(key, { act, dueMs: nowMs + ms });
    return key;
  };
  globalThis.clearTimeout = (key) => timers.delete(key);
  performance.now = () => nowMs;
  t.after(() => {
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
    performance.now = real.now;
  });
  return (ms, { asleep = false } = {}) => {
    if (asleep) nowMs += ms - 1;
    if (asleep) ms = 1;
    for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 1) {
      for (const [key, { act, dueMs }] of timers) if (dueMs <= nowMs && timers.delete(key)) act();
    }
  };
}

test("silence alone is no reason to leave: not without a command, not in the line for something scarce, not while others are heard", async (t) => {
  const { room, sockets } = await live(t, { silenceMs: 20, commandTimeoutMs: 1_000 });
  const passes = stopTime(t);
  passes(60);
  const queued = room.send({ type: "grab_red_envelope", envelope: 1 });
  sockets[0].says({ type: "queued", id: sockets[0].sent[0].id, ahead: 3 });
  passes(60);
  const slow = room.sendChat("a");
  for (let seq = 10; seq < 30; seq += 1) {
    sockets[0].says(delta(seq, seq + 1, [chat(seq)]));
    passes(19);
  }
  assert.equal(sockets[0].closed, null);
  sockets[0].says(...sockets[0].sent.map(({ id }) => ({ type: "accepted", id, seq: 30 })));
  await Promise.all([queued, slow]);
  passes(60);
  assert.equal(sockets[0].closed, null);
  room.sendChat("b").catch(() => {});
  passes(60);
  assert.ok(sockets[0].closed, "the same silence with a command that waits");
});

test("each command gets its own answer", async (t) => {
  const { room, sockets } = await live(t);
  const [one, other] = [room.sendChat("a"), room.requestTryOn("p1")];
  const [first, second] = sockets[0].sent;
  assert.deepEqual([first.command, second.command], [{ type: "send_chat", text: "a" }, { type: "request_try_on", product: "p1" }]);
  sockets[0].says({ type: "refused", id: second.id, code: "product_not_found", detail: "no", seq: 10, retry_after_ms: 5 });
  sockets[0].says({ type: "accepted", id: first.id, seq: 11, result: { message: 10, shown: false } }, { type: "accepted", id: first.id, seq: 99 });
  assert.deepEqual(await one, { id: first.id, seq: 11, result: { message: 10, shown: false } });
  await assert.rejects(other, (error) => error instanceof CommandRefused && error.code === "product_not_found" && error.retryAfterMs === 5);
});

test("commands in flight are sent again with the same id after the connection was lost, and answered once", async (t) => {
  const { room, sockets } = await live(t);
  const waits = room.sendChat("a");
  const [{ id }] = sockets[0].sent;
  sockets[0].drops(1006);
  const later = room.askQuestion("b");
  await until(() => sockets.length === 2);
  assert.equal(sockets[1].sent.length, 0, "nothing before joined");
  sockets[1].says(joined({ resumed: true, seq: 10 }));
  assert.deepEqual(sockets[1].sent.map(({ command }) => command.text), ["a", "b"]);
  assert.equal(sockets[1].sent[0].id, id);
  for (const sent of sockets[1].sent) sockets[1].says({ type: "accepted", id: sent.id, seq: 12 });
  assert.deepEqual((await Promise.all([waits, later])).map(({ seq }) => seq), [12, 12]);
});

test("an unknown outcome is asked for again with the same id, a bounded number of times", async (t) => {
  const { room, sockets } = await live(t);
  const waits = room.sendChat("a");
  const [{ id }] = sockets[0].sent;
  for (let round = 1; round <= RETRIES_MAX + 1; round += 1) {
    await until(() => sockets[0].sent.length === round);
    sockets[0].says({ type: "refused", id, code: "unavailable", detail: "unknown" });
  }
  await assert.rejects(waits, (error) => error.code === "unavailable");
  assert.ok(sockets[0].sent.every((sent) => sent.id === id));
});

test("a repeated command that the gateway holds back is repeated again; the room's own refusal is an answer", async (t) => {
  const { room, sockets } = await live(t);
  const waits = room.sendChat("a");
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  sockets[1].says(joined({ resumed: true, seq: 10 }));
  const [{ id }] = sockets[1].sent;
  sockets[1].says({ type: "refused", id, code: "rate_limited", detail: "gateway" });
  await until(() => sockets[1].sent.length === 2);
  sockets[1].says({ type: "refused", id, code: "rate_limited", detail: "room", seq: 10 });
  await assert.rejects(waits, (error) => error.detail === "room");
});

test("a first refusal as rate_limited is an answer", async (t) => {
  const { room, sockets } = await live(t);
  const waits = room.sendChat("a");
  sockets[0].says({ type: "refused", id: sockets[0].sent[0].id, code: "rate_limited", detail: "slow down" });
  await assert.rejects(waits, (error) => error.code === "rate_limited");
});

test("limits: commands that wait, ids in use, bytes of one, time for an answer", async (t) => {
  const { room } = await live(t);
  await assert.rejects(room.send({ type: "send_chat", text: "x".repeat(5_000) }), (error) => error.code === "too_large");
  await assert.rejects(room.send({ type: "send_chat", text: "a" }, { id: "c1", timeoutMs: 5 }), (error) => error instanceof CommandUnanswered && error.id === "c1");
  room.send({ type: "send_chat", text: "a" }, { id: "c2" }).catch(() => {});
  await assert.rejects(room.send({ type: "send_chat", text: "b" }, { id: "c2" }), (error) => error.code === "id_reused");
  for (let count = 1; count < COMMANDS_WAITING_MAX; count += 1) room.sendChat("x").catch(() => {});
  await assert.rejects(room.sendChat("one more"), TooManyCommands);
});

test("a burst is sent no faster than the gateway allows", async (t) => {
  const { room, sockets } = begin(t);
  await until(() => sockets.length === 1);
  for (let count = 0; count < 30; count += 1) room.sendChat(`${count}`).catch(() => {});
  sockets[0].says(joined({ commands_per_s: 200 }), keyframe());
  assert.equal(sockets[0].sent.length, 10);
  await until(() => sockets[0].sent.length === 30);
  assert.deepEqual(sockets[0].sent.map(({ command }) => Number(command.text)), [...Array(30).keys()]);
});

test("taps are collected, at most one full batch at a time, and never sent twice", async (t) => {
  const { room, sockets } = await live(t);
  const taps = Array.from({ length: 70 }, () => room.sendLikes());
  await until(() => sockets[0].sent.length === 1);
  assert.deepEqual(sockets[0].sent[0].command, { type: "send_likes", count: LIKES_MAX });
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  sockets[1].says(joined({ resumed: true, seq: 10 }));
  for (const tap of taps) await assert.rejects(tap, CommandUnanswered);
  assert.equal(sockets[1].sent.length, 0);
  const next = room.sendLikes(3);
  await until(() => sockets[1].sent.length === 1);
  sockets[1].says({ type: "accepted", id: sockets[1].sent[0].id, seq: 11 });
  assert.equal((await next).seq, 11);
});

test("a mute of mine is known until it ends", async (t) => {
  const { room, sockets } = await live(t);
  sockets[0].says(delta(10, 11, [{ type: "user_muted", seq: 10, user: "bob", until_ms: TIME_MS + 60_000, by: "anna" }]));
  assert.equal(room.mutedUntilMs, 0);
  sockets[0].says(delta(11, 12, [{ type: "user_muted", seq: 11, user: "vera", until_ms: TIME_MS + 60_000, by: "anna", reason: "spam" }]));
  assert.equal(room.mutedUntilMs, TIME_MS + 60_000);
  sockets[0].says(delta(12, 13, [{ type: "user_unmuted", seq: 12, user: "vera", by: "anna" }]));
  assert.equal(room.mutedUntilMs, 0);
});

test("for await yields events in order, tells what was skipped, and ends with close()", async (t) => {
  const { room, sockets } = await live(t);
  const types = [];
  const reading = (async () => {
    for await (const event of room) types.push(event.type);
  })();
  sockets[0].says(delta(10, 12, [chat(10), chat(11)]), { type: "skipped", from: 12, to: 20 }, keyframe(20), delta(20, 21, [{ type: "room_closed", seq: 20 }]));
  await until(() => types.length === 4);
  room.close();
  await reading;
  assert.deepEqual(types, ["chat_sent", "chat_sent", "skipped", "room_closed"]);
  assert.equal(sockets[0].closed, 1000);
});

test("for await throws when the server ends it for good", async (t) => {
  const { room, sockets } = await live(t);
  const reading = (async () => {
    for await (const event of room) assert.fail(event.type);
  })();
  sockets[0].drops(4504, "flooding");
  await assert.rejects(reading, (error) => error instanceof Disconnected && error.code === 4504);
});

test("an iterator that falls behind is told what it lost, and its memory is bounded", async (t) => {
  const { room, sockets } = await live(t);
  const iterator = room[Symbol.asyncIterator]();
  const count = EVENTS_WAITING_MAX + 3;
  sockets[0].says(delta(10, 10 + count, Array.from({ length: count }, (_, index) => chat(10 + index))));
  assert.deepEqual((await iterator.next()).value, { type: "skipped", from: 10, to: 10 + EVENTS_WAITING_MAX });
  assert.equal((await iterator.next()).value.seq, 10 + EVENTS_WAITING_MAX);
  assert.equal(room.state.chat.length, 200);
});

test("what concerns this user alone comes beside the room's events and changes no state", async (t) => {
  const { room, of, sockets } = await live(t);
  const iterator = room[Symbol.asyncIterator]();
  const claimed = { type: "coupon_claimed", coupon: 3, user: "vera", code: "K7Q2MZ4XW3NB5RTA", seq: 12 };
  sockets[0].says({ type: "queued", id: "c1", ahead: 4 }, { type: "personal", seq: 12, time_ms: TIME_MS, event: claimed }, delta(10, 11, [chat(10)]));
  const mine = { ...claimed, time_ms: TIME_MS, personal: true };
  assert.deepEqual(of("personal"), [mine]);
  assert.deepEqual(of("queued"), [{ id: "c1", ahead: 4 }]);
  assert.deepEqual((await iterator.next()).value, mine);
  assert.equal((await iterator.next()).value.seq, 10);
  assert.equal(room.seq, 11);
});

test("what this user owns is its frame and what was told since, once, wherever it is told", async (t) => {
  const { room, of, sockets } = await live(t);
  assert.deepEqual(room.entitlements, { seq: 10, shares: [], coupons: [], holds: [], bought: {}, omitted: 0 });
  const coupon = { coupon: 3, title: "Less", terms: { amount_fen: 5 }, code: "K7Q2MZ4XW3NB5RTA", valid_until_ms: 9 };
  const personal = (seq, event, more = {}) => ({ type: "personal", seq, time_ms: TIME_MS, event: { ...event, user: "vera", seq }, ...more });
  const grab = (seq, envelope, user) => ({ type: "red_envelope_grabbed", seq, envelope, user, name: "N", amount_fen: 7, shares_left: 1, left_fen: 1 });
  sockets[0].says({ type: "entitlements", seq: 12, shares: [{ envelope: 2, amount_fen: 5 }], holds: [{ hold: 8, sale: 4, quantity: 2, until_ms: 9, due_fen: 200 }] });
  assert.deepEqual(room.entitlements.holds, [{ hold: 8, sale: 4, quantity: 2, until_ms: 9, due_fen: 200, discount_fen: 0, coupon_code: "" }]);
  assert.deepEqual(of("entitlements").at(-1), { entitlements: room.entitlements });
  sockets[0].says(delta(10, 15, [grab(11, 2, "vera"), grab(13, 6, "bob"), grab(14, 6, "vera")]));
  assert.deepEqual(room.entitlements.shares, [{ envelope: 2, amount_fen: 5 }, { envelope: 6, amount_fen: 7 }], "below the frame it is in it; others' are not mine");
  sockets[0].says(personal(20, { type: "coupon_claimed", coupon: 3, code: coupon.code }, { coupon }), personal(21, { type: "hold_confirmed", sale: 4, hold: 8, quantity: 1, returned: 1, paid_fen: 100 }));
  assert.deepEqual([room.entitlements.coupons, room.entitlements.holds, room.entitlements.bought], [[{ ...coupon, order: "" }], [], { 4: 1 }]);
  assert.deepEqual(of("personal")[0].owned, { ...coupon, order: "" });
  sockets[0].says(personal(22, { type: "coupon_redeemed", coupon: 3, code: coupon.code, order: "o1", discount_fen: 5 }));
  assert.equal(room.entitlements.coupons[0].order, "o1");
  const before = of("entitlements").length;
  sockets[0].says(delta(15, 16, [chat(15)]));
  assert.equal(of("entitlements").length, before, "nothing of mine changed");
  sockets[0].says(delta(16, 17, [{ type: "coupon_expired", seq: 16, coupon: 3 }]));
  assert.deepEqual([room.entitlements.coupons, of("entitlements").length], [[], before + 1]);
});

test("a gateway that is behind the last one tells again: it counts from its frame on, and is dispatched once", async (t) => {
  const { room, of, sockets } = await live(t);
  const paid = () => ({ type: "personal", seq: 20, time_ms: TIME_MS, event: { type: "hold_confirmed", sale: 4, hold: 8, user: "vera", quantity: 1, returned: 0, paid_fen: 1, payment: "p", seq: 20 } });
  sockets[0].says({ type: "entitlements", seq: 20 }, paid());
  assert.deepEqual(room.entitlements.bought, { 4: 1 });
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  sockets[1].says(joined({ resumed: true }), { type: "entitlements", seq: 15 });
  assert.deepEqual(room.entitlements.bought, {});
  sockets[1].says(paid());
  assert.deepEqual([room.entitlements.bought, of("personal").length], [{ 4: 1 }, 1]);
  const grab = (seq) => ({ type: "red_envelope_grabbed", seq, envelope: seq, user: "vera", name: "V", amount_fen: 7, shares_left: 1, left_fen: 1 });
  sockets[1].says(delta(10, 17, [grab(14), grab(16)]));
  assert.deepEqual([room.entitlements.shares.map(({ envelope }) => envelope), of("event").length, room.seq], [[16], 2, 17]);
  sockets[1].drops(1006);
  await until(() => sockets.length === 3);
  sockets[2].says(joined({ resumed: true }), { type: "entitlements", seq: 15 }, delta(12, 17, [grab(14), grab(16)]));
  assert.deepEqual([room.entitlements.shares.map(({ envelope }) => envelope), of("event").length, room.seq], [[16], 2, 17], "known to the room, told again to me");
});

test("a stream that was set back tells anew, and is resumed by the stream_id of its keyframe", async (t) => {
  const { room, of, sockets } = await live(t);
  const expired = () => ({ type: "personal", seq: 20, time_ms: TIME_MS, event: { type: "hold_expired", sale: 4, hold: 8, user: "vera", seq: 20 } });
  sockets[0].says(expired(), { type: "skipped", from: 12, to: 30 }, expired());
  assert.equal(of("personal").length, 1);
  sockets[0].says({ type: "skipped", from: 30, to: 10 }, keyframe(10, { stream_id: "e.a1b2c3d4" }), expired());
  assert.equal(of("personal").length, 2);
  sockets[0].says(delta(10, 11, [{ type: "room_opened", seq: 10, title: "again", anchor: "anna", stream_id: "e", rules: { chat_budget: 5 } }]));
  assert.equal(room.state.title, "again");
  sockets[0].drops(1006);
  await until(() => sockets.length === 2);
  assert.match(sockets[1].url, /\?stream_id=e.a1b2c3d4&seq=11$/);
});

test("an iterator that falls behind keeps what concerns this user alone", async (t) => {
  const { room, sockets } = await live(t);
  const iterator = room[Symbol.asyncIterator]();
  const count = EVENTS_WAITING_MAX + 3;
  sockets[0].says({ type: "personal", seq: 9, time_ms: TIME_MS, event: { type: "hold_expired", sale: 1, hold: 2, user: "vera", seq: 9 } });
  sockets[0].says(delta(10, 10 + count, Array.from({ length: count }, (_, index) => chat(10 + index))));
  assert.deepEqual((await iterator.next()).value, { type: "skipped", from: 10, to: 9 + EVENTS_WAITING_MAX });
  assert.equal((await iterator.next()).value.type, "hold_expired");
  assert.equal((await iterator.next()).value.seq, 9 + EVENTS_WAITING_MAX);
});

test("retryNow does not wait for the next attempt", async (t) => {
  const { room, sockets } = await live(t, { backoffMs: 60_000, backoffMaxMs: 60_000, random: () => 1 });
  room.retryNow();
  assert.equal(sockets.length, 1, "nothing to retry while it is live");
  sockets[0].drops(1006);
  room.retryNow();
  await until(() => sockets.length === 2);
});

test("ready fails when the room never comes", async (t) => {
  const { room, sockets } = begin(t);
  await until(() => sockets.length === 1);
  sockets[0].drops(4500, "bad token");
  await assert.rejects(room.ready, (error) => error.code === 4500);
});
