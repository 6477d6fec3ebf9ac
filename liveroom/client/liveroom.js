/**
 * liveroom.js: follow and act in a live room from a browser. One ES module, no dependencies.
 *
 *     import { connect, CommandRefused } from "/client/liveroom.js";
 *
 *     const room = connect({ url: "ws://127.0.0.1:8800", room: "demo", token });
 *     room.addEventListener("state", () => draw(room.state));
 *     for await (const event of room) console.log(event.seq, event.type);
 *
 *     try { await room.sendChat("hi"); } catch (refused) { show(refused.code, refused.detail); }
 *
 * Names are those of the wire and of the Python client; what is `send_chat` there is `sendChat` here.
 */

/** Commands of this client that may wait for their answer at once. */
export const COMMANDS_WAITING_MAX = 32;
/** How often one command is sent again, with the same id, when its outcome is unknown. */
export const RETRIES_MAX = 5;
/** Taps in one `send_likes` command. */
export const LIKES_MAX = 50;
/** Events that wait for one async iterator; beyond it they are dropped and the iterator is told what it skipped. */
export const EVENTS_WAITING_MAX = 5_000;

/** Questions in `room.state.questions`, the newest. */
export const QUESTIONS_KEPT = 300;
/** How many red envelopes, coupons and flash sales a folded state holds at most, of each the newest. */
export const OFFERS_KEPT = 50;
/** Shares of red envelopes in `room.mine.grants`, the newest. */
export const GRANTS_KEPT = 100;

/**
 * Frames from which the server's clock is judged. Each is old by its way here, and by much more when nothing happened in the room for a
 * while before it: the one that makes the clock latest tells best.
 */
const CLOCK_FRAMES = 16;
/** Commands sent at once; beyond it they go at the rate that the gateway named. */
const BURST_MAX = 10;
/** Code that this client closes a connection with when it missed something. */
const CLOSE_GAP = 3000;
/** Close codes below 4000 after which it is worth coming back: going away, none given, lost, server error, drain, overload, bad gateway. */
const CLOSES_THAT_COME_BACK = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014, CLOSE_GAP]);
const CLOSE_TOKEN_EXPIRED = 4000;
/** Another window of the same user took this one's place: come back late, or the two would throw each other out for ever. */
const CLOSE_REPLACED = 4003;
const REPLACED_ATTEMPT = 5;
/** A connection that lasted so long was a good one: the next wait is a short one again. */
const GOOD_AFTER_MS = 10_000;
/** What a gateway answers before the room has seen a command. On a repeated command it leaves the outcome open. */
const UNDECIDED = new Set(["rate_limited", "overloaded"]);

/** The command was understood and the answer is no; `code` is one of the protocol's refusal codes. */
export class CommandRefused extends Error {
  constructor({ id = "", code, detail, field = "", retry_after_ms = 0, seq = 0 }) {
    super(`${code}: ${detail}`);
    this.name = "CommandRefused";
    Object.assign(this, { id, code, detail, field, retryAfterMs: retry_after_ms, seq });
  }
}

/** No answer came in time or before the room was left; sent again with the same `id` within 10 minutes it still happens at most once. */
export class CommandUnanswered extends Error {
  constructor(id) {
    super(`no answer to command ${id}; its outcome is unknown`);
    this.name = "CommandUnanswered";
    this.id = id;
  }
}

/** So many commands wait for their answer that this one was not sent. */
export class TooManyCommands extends Error {
  constructor() {
    super(`${COMMANDS_WAITING_MAX} commands wait for their answer already`);
    this.name = "TooManyCommands";
  }
}

/** The room was left for good; `code` is the WebSocket close code, `reason` the server's words. */
export class Disconnected extends Error {
  constructor(code, reason) {
    super(`disconnected with ${code}${reason ? `: ${reason}` : ""}`);
    this.name = "Disconnected";
    Object.assign(this, { code, reason });
  }
}

/**
 * Connect to a room. Returns at once; `await room.ready` waits for the first state.
 *
 * @param {object} options
 * @param {string} options.url            the gateway, "ws://host:8800" or "wss://..."
 * @param {string} options.room           room id
 * @param {string|function} options.token a token, or a function (may be async) that is called for the first one and
 *                                        again whenever the gateway says that the last one has expired
 * @param {number} [options.backoffMs=500]       first reconnect after a random time up to this; doubles each time ...
 * @param {number} [options.backoffMaxMs=20000]  ... up to this
 * @param {number} [options.joinTimeoutMs=10000] give up one attempt to connect after this
 * @param {number} [options.commandTimeoutMs=60000] an unanswered command fails as `CommandUnanswered` after this
 * @param {number} [options.silenceMs=30000]     while a command waits for its answer and nothing at all comes for so long, the connection is given up
 * @param {number} [options.likesBatchMs=300]    taps are collected for this long
 * @param {number} [options.chatLinesKept=200]   lines in `room.state.chat`
 * @param {function} [options.WebSocket]         the WebSocket class; the browser's own by default
 * @param {function} [options.random]            a number in [0, 1); `Math.random` by default
 */
export function connect(options) {
  return new Room(options);
}

/**
 * One room as seen over one connection that is made again whenever it is lost. Made by `connect`.
 *
 * Dispatches `CustomEvent`s; `detail` holds:
 *   joined        the `joined` frame
 *   event         one event of the room, with `seq` and `time_ms`
 *   personal      one event that concerns this user alone, with `seq`, `time_ms` and `personal: true`; may come before events below its seq;
 *                 a `coupon_claimed` has the new entry of `mine.coupons` as `owned`
 *   parked        `{id, ahead}`: the command `id` waits in the line for something scarce, with at most `ahead` before it
 *   state         `{state}` after each frame that changed it
 *   mine          `{mine}` after each frame that changed what this user owns
 *   interruption  `{sinceMs, over}`: nothing new comes and commands wait, or again all is well; the connection holds
 *   skipped       `{from, to}`: these seqs will not come; the next `state` is whole again
 *   disconnected  `{code, reason}`
 *   reconnecting  `{attempt, delayMs}`
 *   closed        `{code, reason}`: the last one
 *
 * `for await (const event of room)` yields the room's events in order, personal ones among them, and `{type: "skipped", from, to}` where some are
 * missing. It ends after `close()` and throws `Disconnected` when the server ended it for good.
 */
export class Room extends EventTarget {
  #options;
  #socket = null;
  #status = "connecting";
  #state = null;
  #mine = emptyMine();
  #cursor = 0;
  #personalSeq = -1; // of the last personal event
  #joined = null;
  #mutedUntilMs = 0;
  #interruption = null;
  #clockOffsetsMs = []; // of the last frames
  #token = null;
  #tokenExpired = false;
  #attempt = 0;
  #joinedAtMs = Infinity;
  #goingAwayMs = null;
  #timers = { reconnect: null, join: null, pump: null, likes: null, silence: null };
  #heardAtMs = 0; // or when a command went out while none was waited for
  #commands = new Map(); // id -> command that waits for its answer
  #unsent = []; // ids, in the order they go out
  #allowance = { count: BURST_MAX, atMs: 0 };
  #likes = { count: 0, reply: null };
  #iterators = new Set();
  #settleReady;
  #closed = null;
  #wake = () => this.retryNow();

  constructor(options) {
    super();
    const { url, room, token } = options;
    if (!/^wss?:\/\//.test(url ?? "")) throw new TypeError(`url: expected ws:// or wss://, got ${url}`);
    if (!room) throw new TypeError("room: is missing");
    if (!token) throw new TypeError("token: is missing; give a token or a function that returns one");
    this.#options = {
      backoffMs: 500,
      backoffMaxMs: 20_000,
      joinTimeoutMs: 10_000,
      commandTimeoutMs: 60_000,
      silenceMs: 30_000,
      likesBatchMs: 300,
      chatLinesKept: 200,
      WebSocket: globalThis.WebSocket,
      random: Math.random,
      ...options,
    };
    /** Resolves with the room once its first state is there and what this user owns; rejects with `Disconnected` if it never comes. */
    this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
    this.ready.catch(() => {}); // whoever awaits it sees the rejection; nobody has to
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#open();
  }

  /** The room's public state: the keyframe's fields, kept up to date; `null` before the first. Read it, do not change it. */
  get state() {
    return this.#state;
  }
  /** What you own in the room: `{seq, grants, coupons, holds, bought, left_out}`, kept up to date. Read it, do not change it. */
  get mine() {
    return this.#mine;
  }
  /** "connecting", "live", "reconnecting" or "closed". */
  get status() {
    return this.#status;
  }
  /** The last `joined` frame: who you are (`user`, `name`, `role`) and your limits; `null` before the first. */
  get joined() {
    return this.#joined;
  }
  /** Seq of the next event expected. */
  get seq() {
    return this.#cursor;
  }
  /** Until when you may not speak, Unix ms by the server's clock; 0 when you may. */
  get mutedUntilMs() {
    return this.#mutedUntilMs > this.nowMs() ? this.#mutedUntilMs : 0;
  }
  /** `{sinceMs}` while the room is not heard from, over a connection that holds; else `null`. */
  get interruption() {
    return this.#interruption;
  }
  /** The server's clock, Unix ms, as far as the last frames tell. */
  nowMs() {
    return Date.now() + Math.max(...(this.#clockOffsetsMs.length ? this.#clockOffsetsMs : [0]));
  }

  // Commands. Each returns a promise of the `accepted` frame `{id, seq, result}` or fails with `CommandRefused`,
  // `CommandUnanswered`, `TooManyCommands` or, in a room that was left, `Disconnected`.

  /** Say one line. `result.shown` is false when the room was too busy to show it to everyone. */
  sendChat(text) {
    return this.send({ type: "send_chat", text });
  }
  /** Ask the anchor. */
  askQuestion(text) {
    return this.send({ type: "ask_question", text });
  }
  /** Wish to see a product tried on. */
  requestTryOn(product) {
    return this.send({ type: "request_try_on", product });
  }
  /**
   * Tap: taps are collected and sent together; the promise is that of the whole batch, and taps beyond `LIKES_MAX` in one are dropped.
   * Gateways add taps up before they have an outcome, so a batch on its way when the connection is lost is never sent twice: it fails
   * as `CommandUnanswered`.
   */
  sendLikes(count = 1) {
    this.#likes.count = Math.min(LIKES_MAX, this.#likes.count + count);
    if (!this.#likes.reply) {
      this.#likes.reply = new Promise((resolve, reject) => Object.assign(this.#likes, { resolve, reject }));
      this.#timers.likes = setTimeout(() => this.#flushLikes(), this.#options.likesBatchMs);
    }
    return this.#likes.reply;
  }

  /** Send any command, for example `{type: "pin_product", product: "p1"}`. A lost connection does not lose it: it is sent again with the same id. */
  send(command, { id = newId(), timeoutMs = this.#options.commandTimeoutMs } = {}) {
    return this.#send(command, id, timeoutMs, true);
  }

  #send(command, id, timeoutMs, repeats) {
    if (this.#closed) return Promise.reject(this.#closed);
    const refuse = (code, detail) => Promise.reject(new CommandRefused({ id, code, detail }));
    if (this.#commands.has(id)) return refuse("id_reused", `command ${id} still waits for its answer`);
    if (this.#commands.size >= COMMANDS_WAITING_MAX) return Promise.reject(new TooManyCommands());
    const text = JSON.stringify({ id, command });
    const bytesMax = this.#joined?.command_bytes_max ?? Infinity;
    if (new TextEncoder().encode(text).length > bytesMax) return refuse("too_large", `at most ${bytesMax} bytes are allowed`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#answer(id)?.reject(new CommandUnanswered(id)), timeoutMs);
      this.#commands.set(id, { id, text, resolve, reject, timer, repeats, sent: 0, retries: 0, parked: false });
      this.#unsent.push(id);
      this.#pump();
    });
  }

  /** Leave for good. Commands that still wait fail as `CommandUnanswered`. */
  close() {
    const socket = this.#detach();
    if (!this.#closed) this.#finish(1000, "closed by the client");
    socket?.close(1000);
  }

  /** Do not wait for the next attempt to reconnect: make it now (a page that was hidden, a network that is back). */
  retryNow() {
    if (this.#timers.reconnect === null || globalThis.document?.hidden) return;
    this.#clear("reconnect");
    this.#open();
  }

  [Symbol.asyncIterator]() {
    const iterator = new EventIterator((ended) => this.#iterators.delete(ended));
    if (this.#closed) iterator.end(this.#closed);
    else this.#iterators.add(iterator);
    return iterator;
  }

  // The connection

  async #open() {
    this.#timers.join = setTimeout(() => this.#drop(1006, "no answer in time"), this.#options.joinTimeoutMs);
    const attempt = this.#timers.join;
    try {
      const { token } = this.#options;
      if (typeof token !== "function") this.#token = token;
      else if (this.#token === null || this.#tokenExpired) this.#token = await token();
      this.#tokenExpired = false;
    } catch (error) {
      if (attempt === this.#timers.join) this.#drop(1006, `no token: ${error.message}`);
      return;
    }
    if (attempt !== this.#timers.join) return; // closed or timed out while the token was fetched
    const { url, room, WebSocket } = this.#options;
    const resume = this.#state ? `?epoch=${encodeURIComponent(this.#state.epoch)}&seq=${this.#cursor}` : "";
    try {
      const address = `${url.replace(/\/+$/, "")}/v1/rooms/${encodeURIComponent(room)}${resume}`;
      const socket = new WebSocket(address, ["liveroom.v1", `liveroom.token.${this.#token}`]);
      this.#socket = socket;
      socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
      socket.onclose = ({ code, reason }) => socket === this.#socket && this.#drop(code, reason);
    } catch (error) {
      this.#detach();
      this.#finish(4500, `cannot connect: ${error.message}`); // an address or a token that no WebSocket takes
    }
  }

  /** Forget the socket; whatever it still says is not heard. */
  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    for (const name of Object.keys(this.#timers)) if (name !== "likes") this.#clear(name);
    return socket;
  }

  /** The connection is lost, or given up by us: come back later or finish. */
  #drop(code, reason) {
    this.#detach()?.close(code >= 3000 && code < 5000 ? code : 1000);
    this.#emit("disconnected", { code, reason });
    if (this.#closed) return;
    const refreshable = code !== CLOSE_TOKEN_EXPIRED || typeof this.#options.token === "function";
    const comesBack = code >= 4000 ? code < 4500 && refreshable : CLOSES_THAT_COME_BACK.has(code);
    if (!comesBack) return this.#finish(code, reason);
    this.#tokenExpired = code === CLOSE_TOKEN_EXPIRED;
    if (Date.now() - this.#joinedAtMs >= GOOD_AFTER_MS) this.#attempt = 0;
    if (code === CLOSE_REPLACED) this.#attempt = Math.max(this.#attempt, REPLACED_ATTEMPT);
    this.#joinedAtMs = Infinity;
    const delayMs = this.#goingAwayMs ?? this.#jitter(this.#attempt);
    this.#goingAwayMs = null;
    this.#attempt += 1;
    this.#status = "reconnecting";
    this.#timers.reconnect = setTimeout(() => {
      this.#timers.reconnect = null;
      this.#open();
    }, delayMs);
    this.#emit("reconnecting", { attempt: this.#attempt, delayMs });
  }

  #finish(code, reason) {
    this.#status = "closed";
    this.#closed = new Disconnected(code, reason);
    this.#clear("likes");
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#likes.reply?.catch(() => {});
    this.#likes.reject?.(this.#closed);
    for (const id of [...this.#commands.keys()]) this.#answer(id).reject(new CommandUnanswered(id));
    this.#settleReady.reject(this.#closed);
    for (const iterator of this.#iterators) iterator.end(code === 1000 ? null : this.#closed);
    this.#emit("closed", { code, reason });
  }

  /** Full jitter: a random time up to a bound that doubles each time, so that a crowd never comes back at once. */
  #jitter(attempt) {
    const { backoffMs, backoffMaxMs, random } = this.#options;
    return random() * Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(attempt, 30));
  }

  #clear(name) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = null;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // Frames

  #receive(text) {
    this.#heardAtMs = Date.now();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return this.#drop(CLOSE_GAP, "a frame was not JSON");
    }
    if (frame.time_ms) this.#clockOffsetsMs = [...this.#clockOffsetsMs, frame.time_ms - Date.now()].slice(-CLOCK_FRAMES);
    switch (frame.type) {
      case "joined":
        return this.#onJoined(frame);
      case "keyframe":
        return this.#onKeyframe(frame);
      case "belongings":
        return this.#onBelongings(frame);
      case "delta":
        return this.#onDelta(frame);
      case "skipped":
        return this.#onSkipped(frame);
      case "personal":
        return this.#onPersonal(frame);
      case "parked":
        return this.#onParked(frame);
      case "interruption":
        return this.#onInterruption(frame);
      case "accepted":
        return this.#answer(frame.id)?.resolve({ id: frame.id, seq: frame.seq, result: frame.result ?? {} });
      case "refused":
        return this.#onRefused(frame);
      case "going_away":
        this.#goingAwayMs = frame.reconnect_after_ms;
    } // a type of a later version is not for us
  }

  #onJoined(frame) {
    this.#clear("join");
    this.#joined = frame;
    this.#mutedUntilMs = frame.muted_until_ms ?? 0;
    this.#status = "live";
    this.#interruption = null;
    this.#joinedAtMs = Date.now();
    for (const { id, sent, repeats } of [...this.#commands.values()]) if (sent && !repeats) this.#answer(id).reject(new CommandUnanswered(id));
    this.#unsent = [...this.#commands.keys()]; // nobody knows what became of them: same ids, so at most one outcome
    this.#allowance = { count: BURST_MAX, atMs: Date.now() };
    this.#emit("joined", frame);
    this.#pump();
  }

  #onKeyframe({ type: _, ...state }) {
    this.#attempt = 0;
    if (this.#state?.epoch !== state.epoch) this.#personalSeq = -1;
    this.#state = filled(state);
    this.#cursor = state.seq;
    this.#emit("state", { state: this.#state });
  }

  #onBelongings({ type: _, ...mine }) {
    this.#mine = { ...emptyMine(), ...mine };
    this.#mine.coupons = this.#mine.coupons.map(filledCoupon);
    this.#mine.holds = this.#mine.holds.map((hold) => ({ discount_fen: 0, coupon_code: "", ...hold }));
    this.#settleReady.resolve(this);
    this.#emit("mine", { mine: this.#mine });
  }

  #onDelta(frame) {
    if (frame.from > this.#cursor || !this.#state) return this.#drop(CLOSE_GAP, `missed ${this.#cursor} to ${frame.from}`);
    this.#attempt = 0;
    let owned = false;
    for (const event of frame.events) {
      const known = event.seq < this.#cursor; // had it before the connection was lost; `mine` may be of before that, from a gateway that is behind
      event.time_ms = frame.time_ms;
      const { sales } = this.#state;
      if (!known) fold(this.#state, event, this.#options.chatLinesKept);
      owned = foldMine(this.#mine, event, this.#joined?.user, sales, this.#state.sales) || owned;
      if (known) continue;
      if (event.user === this.#joined?.user) {
        if (event.type === "user_muted") this.#mutedUntilMs = event.until_ms;
        if (event.type === "user_unmuted") this.#mutedUntilMs = 0;
      }
      this.#emit("event", event);
      for (const iterator of this.#iterators) iterator.push(event);
    }
    if (frame.to > this.#cursor) {
      this.#cursor = frame.to;
      this.#state.seq = frame.to;
      this.#state.time_ms = frame.time_ms;
      this.#emit("state", { state: this.#state });
    }
    if (owned) this.#emit("mine", { mine: this.#mine });
  }

  #onPersonal({ time_ms, event, coupon }) {
    Object.assign(event, { time_ms, personal: true }, coupon && { owned: filledCoupon(coupon) });
    if (foldMine(this.#mine, event, this.#joined?.user)) this.#emit("mine", { mine: this.#mine });
    if (event.seq <= this.#personalSeq) return; // had it before the connection was lost
    this.#personalSeq = event.seq;
    this.#emit("personal", event);
    for (const iterator of this.#iterators) iterator.push(event);
  }

  #onParked({ id, ahead }) {
    const command = this.#commands.get(id);
    if (command) command.parked = true;
    this.#emit("parked", { id, ahead });
  }

  #onInterruption({ since_ms: sinceMs, over = false }) {
    this.#interruption = over ? null : { sinceMs };
    this.#emit("interruption", { sinceMs, over });
  }

  #onSkipped({ from, to }) {
    this.#emit("skipped", { from, to });
    for (const iterator of this.#iterators) iterator.push({ type: "skipped", from, to });
  }

  #onRefused(frame) {
    const command = this.#commands.get(frame.id);
    if (!command) return;
    const open = command.repeats && (frame.code === "unavailable" || (command.sent > 1 && !frame.seq && UNDECIDED.has(frame.code)));
    if (!open || command.retries >= RETRIES_MAX) return this.#answer(frame.id).reject(new CommandRefused(frame));
    command.retries += 1;
    const delayMs = Math.max(frame.retry_after_ms ?? 0, this.#jitter(command.retries));
    setTimeout(() => {
      if (!this.#commands.has(frame.id) || this.#unsent.includes(frame.id)) return;
      this.#unsent.push(frame.id);
      this.#pump();
    }, delayMs);
  }

  /** Take a command off the books; `undefined` when it is answered already. */
  #answer(id) {
    const command = this.#commands.get(id);
    this.#commands.delete(id);
    clearTimeout(command?.timer);
    return command;
  }

  /** Send what waits, no faster than the gateway allows. */
  #pump() {
    if (this.#status !== "live" || !this.#socket) return;
    const perMs = (this.#joined.commands_per_s || 1) / 1_000;
    const nowMs = Date.now();
    this.#allowance.count = Math.min(BURST_MAX, this.#allowance.count + (nowMs - this.#allowance.atMs) * perMs);
    this.#allowance.atMs = nowMs;
    while (this.#unsent.length && this.#allowance.count >= 1) {
      const command = this.#commands.get(this.#unsent.shift());
      if (!command) continue; // timed out before it went out
      command.sent += 1;
      command.parked = false;
      this.#allowance.count -= 1;
      this.#socket.send(command.text);
      this.#listenForAnswers();
    }
    if (this.#unsent.length && this.#timers.pump === null) {
      this.#timers.pump = setTimeout(() => {
        this.#timers.pump = null;
        this.#pump();
      }, Math.ceil((1 - this.#allowance.count) / perMs));
    }
  }

  /** A gateway answers every command in time; only one that stands still says nothing, and a page cannot ping it. */
  #listenForAnswers() {
    if (this.#timers.silence !== null) return;
    this.#heardAtMs = Date.now();
    const look = () => {
      this.#timers.silence = null;
      if (![...this.#commands.values()].some(({ sent, parked }) => sent && !parked)) return;
      const leftMs = this.#heardAtMs + this.#options.silenceMs - Date.now();
      if (leftMs <= 0) return this.#drop(1006, "nothing was heard from the gateway");
      this.#timers.silence = setTimeout(look, leftMs);
    };
    this.#timers.silence = setTimeout(look, this.#options.silenceMs);
  }

  #flushLikes() {
    if (this.#status !== "live") {
      this.#timers.likes = setTimeout(() => this.#flushLikes(), this.#options.likesBatchMs);
      return;
    }
    const { count, resolve, reject } = this.#likes;
    this.#likes = { count: 0, reply: null };
    this.#timers.likes = null;
    this.#send({ type: "send_likes", count }, newId(), this.#options.commandTimeoutMs, false).then(resolve, reject);
  }
}

/** A bounded queue of events behind one `for await`. */
class EventIterator {
  #queue = [];
  #waiting = [];
  #skipped = null;
  #ended;
  #onEnd;

  constructor(onEnd) {
    this.#onEnd = onEnd;
  }

  push(event) {
    const waiter = this.#waiting.shift();
    if (waiter) return waiter.resolve({ value: event, done: false });
    if (event.personal) return this.#queue.length < 2 * EVENTS_WAITING_MAX && this.#queue.push(event);
    if (this.#queue.length >= EVENTS_WAITING_MAX) {
      const first = this.#queue.find(({ personal }) => !personal);
      if (first) this.#skipped ??= { type: "skipped", from: first.seq ?? first.from, to: 0 };
      this.#queue = this.#queue.filter(({ personal }) => personal); // `mine` tells what came of them, not how
      if (first) this.#skipped.to = event.seq ?? event.from;
    }
    this.#queue.push(event);
  }

  end(error) {
    this.#ended = { error };
    this.#onEnd(this);
    for (const waiter of this.#waiting.splice(0)) error ? waiter.reject(error) : waiter.resolve({ value: undefined, done: true });
  }

  async next() {
    if (this.#skipped) {
      const value = this.#skipped;
      this.#skipped = null;
      return { value, done: false };
    }
    if (this.#queue.length) return { value: this.#queue.shift(), done: false };
    if (this.#ended?.error) throw this.#ended.error;
    if (this.#ended) return { value: undefined, done: true };
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async return() {
    this.#queue = [];
    this.end(null);
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

function newId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(12));
  return `js-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

// The state: a keyframe, then events folded into it.

/** Fields that a keyframe leaves out when they hold their default. */
const emptyState = () => ({
  anchor_name: "",
  announcement: "",
  pinned: null,
  showcase_version: 0,
  showcase_count: 0,
  slow_mode_ms: 0,
  chat_budget: 0,
  likes: 0,
  viewers: 0,
  unique: 0,
  unique_estimated: false,
  peak: 0,
  try_ons: {},
  envelopes: [],
  coupons: [],
  sales: [],
  questions: [],
  chat: [],
});

/** A keyframe with what it leaves out. */
function filled(keyframe) {
  const state = { ...emptyState(), ...keyframe };
  state.envelopes = state.envelopes.map((envelope) => ({ open: false, condition: {}, users_per_address_max: 0, ...envelope }));
  state.coupons = state.coupons.map((coupon) => ({ users_per_address_max: 0, ...coupon }));
  state.sales = state.sales.map((sale) => ({ users_per_address_max: 0, ...sale }));
  return state;
}

/** Put something on offer; the newest of its kind are kept. */
function offer(offers, item) {
  offers.push(item);
  if (offers.length > OFFERS_KEPT) offers.shift();
}

/** Change what is on offer, if it is shown. */
function change(offers, name, id, changed) {
  for (const item of offers) if (item[name] === id) Object.assign(item, changed);
}

/** What each event changes in the state; an event that is not here changes nothing that is public. */
const FOLDS = {
  room_opened(state, { title, anchor, anchor_name = "", epoch, rules, time_ms }) {
    Object.assign(state, { title, anchor, anchor_name, epoch, open: true, opened_ms: time_ms, chat_budget: rules.chat_budget });
  },
  room_closed(state) {
    state.open = false;
  },
  announcement_set(state, { text }) {
    state.announcement = text;
  },
  chat_sent(state, { seq, user, name, text, role = "viewer", buyer = false }) {
    state.chat.push({ seq, user, name, text, role, buyer });
  },
  message_deleted(state, { message }) {
    state.chat = state.chat.filter(({ seq }) => seq !== message);
  },
  slow_mode_set(state, { interval_ms }) {
    state.slow_mode_ms = interval_ms;
  },
  chat_budget_set(state, { lines_per_s }) {
    state.chat_budget = lines_per_s;
  },
  question_asked(state, { seq, user, name, text }) {
    state.questions.push({ seq, user, name, text, state: "asked", answer: "" });
    if (state.questions.length > QUESTIONS_KEPT) state.questions.shift();
  },
  question_picked(state, { question }) {
    for (const asked of state.questions) {
      if (asked.seq === question) asked.state = "picked";
      else if (asked.state === "picked") asked.state = "asked"; // one at a time
    }
  },
  question_answered(state, { question, text = "" }) {
    for (const asked of state.questions) if (asked.seq === question) Object.assign(asked, { state: "answered", answer: text });
  },
  question_dismissed(state, { question }) {
    state.questions = state.questions.filter(({ seq }) => seq !== question);
  },
  likes_added(state, { total }) {
    state.likes = total;
  },
  product_added(state, { seq }) {
    state.showcase_version = seq; // whether it is new or replaces another is known over HTTP alone: `showcase_count` stays the keyframe's
  },
  product_removed(state, { seq, product }) {
    state.showcase_version = seq;
    delete state.try_ons[product];
  },
  product_pinned(state, { product }) {
    state.pinned = product;
  },
  product_unpinned(state) {
    state.pinned = null;
  },
  try_on_requested(state, { product, count }) {
    state.try_ons[product] = count;
  },
  audience_counted(state, { viewers, unique, peak, unique_estimated = false }) {
    Object.assign(state, { viewers, unique, peak, unique_estimated });
  },
  red_envelope_dropped(state, { seq, title, total_fen, parts, split, opens_ms, closes_ms, commitment, condition = {}, users_per_address_max = 0 }) {
    const left = { parts_left: parts, left_fen: total_fen };
    const rules = { commitment, condition, users_per_address_max };
    offer(state.envelopes, { envelope: seq, title, total_fen, parts, ...left, split, opens_ms, closes_ms, open: false, ...rules });
  },
  red_envelope_opened(state, { envelope }) {
    change(state.envelopes, "envelope", envelope, { open: true });
  },
  red_envelope_grabbed(state, { envelope, parts_left, left_fen }) {
    change(state.envelopes, "envelope", envelope, { parts_left, left_fen });
  },
  red_envelope_closed(state, { envelope }) {
    state.envelopes = state.envelopes.filter((item) => item.envelope !== envelope);
  },
  coupon_issued(state, { seq, title, terms, stock, per_user_max, claimable_until_ms, valid_until_ms, users_per_address_max = 0 }) {
    const until = { claimable_until_ms, valid_until_ms };
    offer(state.coupons, { coupon: seq, title, terms, stock, left: stock, per_user_max, ...until, users_per_address_max });
  },
  coupon_left(state, { coupon, left }) {
    change(state.coupons, "coupon", coupon, { left });
  },
  coupon_stopped(state, { coupon }) {
    state.coupons = state.coupons.filter((item) => item.coupon !== coupon);
  },
  coupon_expired(state, { coupon }) {
    state.coupons = state.coupons.filter((item) => item.coupon !== coupon);
  },
  flash_sale_announced(state, { seq, product, title, price_fen, stock, per_user_max, opens_ms, closes_ms, hold_ms, users_per_address_max = 0 }) {
    const units = { stock, available: stock, held: 0, sold: 0 };
    const rules = { per_user_max, opens_ms, closes_ms, hold_ms, users_per_address_max };
    offer(state.sales, { sale: seq, product, title, price_fen, ...units, ...rules, state: "announced" });
  },
  flash_sale_opened(state, { sale }) {
    change(state.sales, "sale", sale, { state: "open" });
  },
  flash_sale_restocked(state, { sale, stock }) {
    change(state.sales, "sale", sale, { stock });
  },
  stock_changed(state, { sale, available, held, sold }) {
    change(state.sales, "sale", sale, { available, held, sold });
    state.sales = state.sales.filter((item) => item.state !== "closed" || item.held); // a closed one goes with its last hold
  },
  flash_sale_closed(state, { sale, held = 0 }) {
    change(state.sales, "sale", sale, { state: "closed", held });
    state.sales = state.sales.filter((item) => item.state !== "closed" || item.held);
  },
};

// What this user owns: a `belongings` frame, then events folded into it.

/** Fields that the frame leaves out when there is nothing. */
const emptyMine = () => ({ seq: 0, grants: [], coupons: [], holds: [], bought: {}, left_out: 0 });

const filledCoupon = (coupon) => ({ order: "", ...coupon });

/** What each event changes in what its `user`, or everybody, owns. Values are replaced, never changed, so that a page may compare them. */
const MINE_FOLDS = {
  red_envelope_grabbed(mine, { envelope, amount_fen }) {
    mine.grants = [...mine.grants, { envelope, amount_fen }].slice(-GRANTS_KEPT);
  },
  coupon_claimed(mine, { owned }) {
    if (owned) mine.coupons = [...mine.coupons, owned];
  },
  coupon_redeemed(mine, { code, order }) {
    mine.coupons = mine.coupons.map((coupon) => (coupon.code === code ? { ...coupon, order } : coupon));
  },
  coupon_released(mine, { code }) {
    mine.coupons = mine.coupons.map((coupon) => (coupon.code === code ? { ...coupon, order: "" } : coupon));
  },
  coupon_expired(mine, { coupon }) {
    mine.coupons = mine.coupons.filter((item) => item.coupon !== coupon);
  },
  stock_reserved(mine, { seq, sale, quantity, until_ms, due_fen, discount_fen = 0, coupon_code = "" }) {
    mine.holds = [...mine.holds, { hold: seq, sale, quantity, until_ms, due_fen, discount_fen, coupon_code }];
  },
  hold_confirmed(mine, { hold, sale, quantity }) {
    mine.holds = mine.holds.filter((item) => item.hold !== hold);
    mine.bought = { ...mine.bought, [sale]: (mine.bought[sale] ?? 0) + quantity };
  },
  hold_cancelled(mine, { hold }) {
    mine.holds = mine.holds.filter((item) => item.hold !== hold);
  },
  hold_expired(mine, { hold }) {
    mine.holds = mine.holds.filter((item) => item.hold !== hold);
  },
};

/**
 * Fold one event into what `user` owns, in place; gives whether it changed anything. What is below `mine.seq` is in it already.
 * `before` and `after` are the room's sales around the event: units of a sale that is over are owned no more here.
 */
export function foldMine(mine, event, user, before = [], after = before) {
  if (event.seq < mine.seq) return false;
  const { grants, coupons, holds, bought } = mine;
  if ((event.user ?? user) === user) MINE_FOLDS[event.type]?.(mine, event);
  if (before.length > after.length) {
    for (const { sale } of before) {
      if (!(sale in mine.bought) || after.some((shown) => shown.sale === sale)) continue;
      mine.bought = { ...mine.bought };
      delete mine.bought[sale];
    }
  }
  return grants !== mine.grants || coupons !== mine.coupons || holds !== mine.holds || bought !== mine.bought;
}

/** Fold one event (with `seq` and `time_ms`) into a state in place; `chatLinesKept` bounds `state.chat`. */
export function fold(state, event, chatLinesKept = 200) {
  FOLDS[event.type]?.(state, event);
  if (state.chat.length > chatLinesKept) state.chat.splice(0, state.chat.length - chatLinesKept);
  return state;
}
