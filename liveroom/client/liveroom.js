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
 * Names are those of the wire and of the Python client, in camel case: `send_chat` there is `sendChat` here.
 */

/** Commands of this client that may wait for their answer at once. */
export const COMMANDS_WAITING_MAX = 32;
/** Most repetitions of one command, with the same id, while its outcome is unknown. */
export const RETRIES_MAX = 5;
/** Ids that a room remembers because their commands went out and may have happened. Beyond it the oldest are forgotten. */
export const SENT_IDS_MAX = 1_000;
/** Taps in one `send_likes` command. */
export const LIKES_MAX = 50;
/** Most events that wait for one async iterator. Later ones are dropped, and the iterator yields the span that it skipped. */
export const EVENTS_WAITING_MAX = 5_000;

/** Questions in `room.state.questions`, the newest. */
export const QUESTIONS_KEPT = 300;
/** Offers of one kind in a folded state, the newest. */
export const OFFERS_KEPT = 50;
/** Shares in `room.entitlements.shares`, the newest. */
export const SHARES_KEPT = 100;
/** Default of the option `chatLinesKept`: lines in `room.state.chat`, the newest. */
export const CHAT_LINES_KEPT = 200;

/**
 * Number of last frames that estimate the server's clock. Network delay, and a quiet room even more, makes a frame's time too early.
 * So the frame that gives the latest clock is the best estimate.
 */
const CLOCK_FRAMES = 16;
/** Commands sent at once; later ones go at the rate that the gateway named. */
const BURST_MAX = 10;
/** Close codes of this client: connection lost or never made; frames missed; no token; invalid address. */
const CLOSE_LOST = 1006;
const CLOSE_GAP = 3000;
const CLOSE_NO_TOKEN = 3001;
const CLOSE_NO_ADDRESS = 3002;
// begin endings: made by `python -m docs.generate`
/** What follows the end of a connection: first code, last code, what; the first row that fits counts. */
export const ENDINGS = [
  [1000, 1000, "retry"],
  [1001, 1001, "retry"],
  [1002, 1002, "retry"],
  [1005, 1005, "retry"],
  [1006, 1006, "retry"],
  [1008, 1008, "retry"],
  [1009, 1009, "retry"],
  [1011, 1011, "retry"],
  [1012, 1012, "retry"],
  [1013, 1013, "retry"],
  [1014, 1014, "retry"],
  [3000, 3000, "retry"],
  [3001, 3001, "token"],
  [3002, 3002, "final"],
  [4000, 4000, "token"],
  [4001, 4001, "retry"],
  [4002, 4002, "retry"],
  [4003, 4003, "replaced"],
  [4004, 4004, "retry"],
  [4500, 4500, "token"],
  [4501, 4501, "token"],
  [4502, 4502, "retry"],
  [4503, 4503, "final"],
  [4504, 4504, "final"],
  [4505, 4505, "final"],
  [4500, 4999, "final"],
  [1000, 4999, "retry"],
];
// end endings
/** After a connection of at least this long, the next pause is short again. */
const STABLE_MS = 10_000;
/** Refused tokens in a row until the room is "unauthorized". It goes on trying, with pauses up to `UNAUTHORIZED_BACKOFF_MAX_MS`. */
const TOKENS_REFUSED_MAX = 3;
const UNAUTHORIZED_BACKOFF_MAX_MS = 60_000;
/** Attempts that fail without a reason before the client asks for another token, because a browser hides a proxy's 401. */
const UNTOLD_MAX = 3;
/** A banned client tries this often, because the ban may be lifted early. */
const BAN_WAIT_MAX_MS = 300_000;
const TOKEN_CHARS_MAX = 4_096;
/** RFC 6750's alphabet without what a subprotocol cannot carry: no JWT is refused, every page of HTML or JSON is. */
const TOKEN_FORM = /^[A-Za-z0-9._~+-]+$/;
/** Missing beats until the connection counts as dead. */
const BEATS_MISSED_MAX = 2;
/** Time for the answer to a probe. */
const PROBE_MS = 5_000;
/** A timer later than this shows that the page was suspended; that time was not the gateway's silence. */
const STOOD_STILL_MS = 1_000;
/** Error codes that a gateway sends before the room has seen a command. For a repeated command they leave the outcome open. */
const UNDECIDED = new Set(["rate_limited", "overloaded"]);

/** The command was refused; `code` is one of the protocol's refusal codes. */
export class CommandRefused extends Error {
  constructor({ id = "", code, detail, field = "", retry_after_ms = 0, seq = 0 }) {
    super(`${code}: ${detail}`);
    this.name = "CommandRefused";
    Object.assign(this, { id, code, detail, field, retryAfterMs: retry_after_ms, seq });
  }
}

/**
 * No answer came in time or before the room was left. Sent again with the same `id` within 10 minutes, the command happens at most once.
 * `sent` is true when the command went out in this call, or may have gone out in an earlier call of this room that had no outcome.
 * Otherwise it is false, and a command under an id that the room made for this call did not happen. An id of your own may still have gone
 * out before a reload or from another page. If the connection was lost, `code` and `reason` are those of its end; else `code` is 0.
 */
export class CommandUnanswered extends Error {
  constructor(id, { sent = true, code = 0, reason = "" } = {}) {
    const words = sent ? `no answer to command ${id}; its outcome is unknown` : `this call did not send command ${id}`;
    super(code ? `${words}; the connection ended with ${code}${reason ? `: ${reason}` : ""}` : words);
    this.name = "CommandUnanswered";
    Object.assign(this, { id, sent, code, reason });
  }
}

/** The limit of waiting commands is reached, so this call did not send its own. */
export class TooManyCommands extends Error {
  constructor() {
    super(`${COMMANDS_WAITING_MAX} commands wait for their answer already`);
    this.name = "TooManyCommands";
  }
}

/** The room was left for good. A command that fails with this was not sent by this room. `code` is the WebSocket close code, `reason` the server's. */
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
 *                                        again when the last one has expired or was refused
 * @param {number} [options.backoffMs=500]       the first reconnect waits a random time up to this; doubles each time ...
 * @param {number} [options.backoffMaxMs=20000]  ... up to this
 * @param {number} [options.joinTimeoutMs=10000] give up one attempt to connect after this
 * @param {number} [options.commandTimeoutMs=60000] an unanswered command fails as `CommandUnanswered` after this
 * @param {number} [options.silenceMs=30000]     the connection is given up when a command waits and nothing at all arrives for this time
 * @param {number} [options.probeMs=5000]        time for the answer to a probe, which is sent when the page becomes visible or the network is back
 * @param {number} [options.likesBatchMs=300]    taps are collected for this long
 * @param {number} [options.chatLinesKept=200]   lines in `room.state.chat`
 * @param {function} [options.WebSocket]         the WebSocket class, by default the browser's; without one `connect` throws a `TypeError`
 * @param {function} [options.random]            a number in [0, 1); `Math.random` by default
 */
export function connect(options) {
  return new Room(options);
}

/**
 * One room over one connection, which is made again whenever it is lost. `connect` makes it.
 *
 * Dispatches `CustomEvent`s; `detail` holds:
 *
 * - joined: the `joined` frame.
 * - event: one event of the room, with `seq` and `time_ms`.
 * - personal: one event that concerns this user alone, with `seq`, `time_ms` and `personal: true`. It may come before events below its seq.
 *   Features may add fields to it, see `FEATURES`.
 * - queued: `{id, ahead}`; the command `id` waits in the admission queue of a scarce item, with at most `ahead` commands before it.
 * - state: `{state}` after each frame that changed it.
 * - entitlements: `{entitlements}` after each frame that changed the user's entitlements.
 * - interruption: `{sinceMs, over}`; no events come and commands wait, or (`over`) they come again. The connection stays open.
 * - skipped: `{from, to}`; these seqs will not come. The next `state` is whole again.
 * - disconnected: `{code, reason}`.
 * - reconnecting: `{attempt, delayMs}`.
 * - unauthorized: `{code, reason}`; several tokens in a row were refused. The client keeps asking the token function, slowly.
 * - replaced: `{code, reason}`; this user has too many connections, and a newer one took this one's place. See `retryNow`.
 * - banned: `{untilMs, reason}`; the client reconnects by itself when the ban has ended.
 * - closed: `{code, reason}`; the last event of the room.
 *
 * `for await (const event of room)` yields the room's events in order, personal ones among them.
 * Where some are missing it yields `{type: "skipped", from, to}`.
 * It ends after `close()`, and throws `Disconnected` if the server ended the connection for good.
 */
export class Room extends EventTarget {
  #options;
  #socket = null;
  #status = "connecting";
  #state = null;
  #entitlements = entitlementsOf({});
  #cursor = 0;
  #personalSeq = -1; // of the last personal event
  #joined = null;
  #ban = null;
  #interruption = null;
  #clockOffsetsMs = []; // of the last frames
  #token = null; // the last one that the function gave, until it is refused
  #tokensRefused = 0; // in a row
  #untold = 0; // attempts in a row that failed without a word
  #attempt = 0;
  #joinedAtMs = Infinity; // of `performance.now()`, as all times below
  #namedMs = null; // the delay that the gateway named before it left
  #timers = { reconnect: null, join: null, pump: null, likes: null, silence: null, probe: null };
  #heardAtMs = 0;
  #waitingSinceMs = 0; // when a command went out while none was waited for
  #commands = new Map(); // id -> command that waits for its answer
  #unsent = []; // ids, in the order they go out
  #sentIds = new SentIds();
  #allowance = { count: BURST_MAX, atMs: 0 };
  #likes = { count: 0, reply: null };
  #iterators = new Set();
  #settleReady;
  #lost = {}; // code and reason of the last connection's end, while there is no other connection
  #closed = null;
  #wake = ({ type }) => {
    if (globalThis.document?.hidden || (type === "online" && this.#status === "replaced")) return;
    this.retryNow();
    this.#probe();
  };

  constructor(options) {
    super();
    const { url, room, token } = options;
    if (!/^wss?:\/\//.test(url ?? "")) throw new TypeError(`url: expected ws:// or wss://, got ${url}`);
    if (!room) throw new TypeError("room: is missing");
    if (!token) throw new TypeError("token: is missing; give a token or a function that returns one");
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket) throw new TypeError("WebSocket: there is no such class here; give options.WebSocket, for example from the package ws");
    this.#options = {
      backoffMs: 500,
      backoffMaxMs: 20_000,
      joinTimeoutMs: 10_000,
      commandTimeoutMs: 60_000,
      silenceMs: 30_000,
      probeMs: PROBE_MS,
      likesBatchMs: 300,
      chatLinesKept: CHAT_LINES_KEPT,
      random: Math.random,
      ...options,
      WebSocket,
    };
    /** Resolves with the room once its first state and the user's entitlements are there; rejects with `Disconnected` if they never come. */
    this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
    this.ready.catch(() => {}); // whoever awaits it sees the rejection; nobody has to
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    queueMicrotask(() => this.#closed || this.#open()); // whoever made the room listens by then
  }

  /** The public state: the keyframe's fields, kept up to date; `null` before the first. A snapshot: a changed part is a new object, an unchanged part the same one. */
  get state() {
    return this.#state;
  }
  /** This user's entitlements in the room: `seq`, `omitted` and the features' fields, kept up to date. A snapshot, like `state`. */
  get entitlements() {
    return this.#entitlements;
  }
  /** "connecting", "live", "reconnecting", "unauthorized" or "banned" (both reconnect by themselves), "replaced" or "closed". */
  get status() {
    return this.#status;
  }
  /** The last `joined` frame: your `user`, `name`, `role` and limits, with your mute kept up to date; `null` before the first. */
  get joined() {
    return this.#joined;
  }
  /** Seq of the next event expected. */
  get seq() {
    return this.#cursor;
  }
  /** `{untilMs, reason}` while you are banned; else `null`. */
  get ban() {
    return this.#ban;
  }
  /** The end of your mute, Unix ms by the server's clock; 0 when you are not muted. */
  get mutedUntilMs() {
    const untilMs = this.#joined?.muted_until_ms ?? 0;
    return untilMs > this.nowMs() ? untilMs : 0;
  }
  /** `{sinceMs}` during an interruption, while the connection stays open; else `null`. */
  get interruption() {
    return this.#interruption;
  }
  /** The server's clock, Unix ms, estimated from the last frames. */
  nowMs() {
    return performance.now() + Math.max(...(this.#clockOffsetsMs.length ? this.#clockOffsetsMs : [performance.timeOrigin]));
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
  /** Request a try-on of a product. */
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
  send(command, { id, timeoutMs = this.#options.commandTimeoutMs } = {}) {
    const sentBefore = id != null && this.#sentIds.has(id); // one that is still to be made never went out
    return this.#send(command, id ?? newId(), { timeoutMs, sentBefore });
  }

  get #bytesMax() {
    return this.#joined?.command_bytes_max ?? Infinity;
  }

  #send(command, id, { timeoutMs, sentBefore = false, repeats = true }) {
    if (this.#closed) return Promise.reject(sentBefore ? new CommandUnanswered(id, this.#closed) : this.#closed);
    const refuse = (code, detail) => Promise.reject(new CommandRefused({ id, code, detail }));
    if (this.#commands.has(id)) return refuse("id_reused", `command ${id} still waits for its answer`);
    if (this.#commands.size >= COMMANDS_WAITING_MAX) return Promise.reject(new TooManyCommands());
    const text = JSON.stringify({ id, command });
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > this.#bytesMax) return refuse("too_large", `at most ${this.#bytesMax} bytes are allowed`);
    return new Promise((resolve, reject) => {
      const command = { id, text, bytes, resolve, reject, repeats, sentBefore, sent: 0, retries: 0, queued: false };
      command.timer = setTimeout(() => this.#unanswered(id)?.reject(new CommandUnanswered(id, { ...this.#lost, sent: mayHaveHappened(command) })), timeoutMs);
      this.#commands.set(id, command);
      this.#unsent.push(id);
      if (this.#status === "replaced") this.retryNow(); // this window is used again
      this.#pump();
    });
  }

  /** Leave the room; the client does not reconnect. Commands that still wait fail as `CommandUnanswered`, or as `Disconnected` when this room did not send them. */
  close() {
    const socket = this.#detach();
    if (!this.#closed) this.#finish(1000, "closed by the client");
    socket?.close(1000);
  }

  /** Do not wait for the next attempt to reconnect: make it now. A room that was replaced comes back only by this, a command, or a page that becomes visible. */
  retryNow() {
    if (this.#timers.reconnect === null && this.#status !== "replaced") return;
    this.#clear("reconnect");
    if (this.#status === "replaced") this.#status = "reconnecting";
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
    let missing = CLOSE_NO_TOKEN;
    this.#timers.join = setTimeout(() => this.#drop(missing, "no answer in time"), this.#options.joinTimeoutMs);
    const attempt = this.#timers.join;
    let token;
    try {
      token = await this.#freshToken();
    } catch (error) {
      if (attempt === this.#timers.join) this.#drop(CLOSE_NO_TOKEN, `no token: ${error?.message ?? error}`);
      return;
    }
    if (attempt !== this.#timers.join) return; // closed or timed out while the token was fetched
    missing = CLOSE_LOST;
    const { url, room, WebSocket } = this.#options;
    const resume = this.#state ? `?stream_id=${encodeURIComponent(this.#state.stream_id)}&seq=${this.#cursor}` : "";
    try {
      const address = `${url.replace(/\/+$/, "")}/v1/rooms/${encodeURIComponent(room)}${resume}`;
      const socket = new WebSocket(address, ["liveroom.v1", `liveroom.token.${token}`]);
      this.#socket = socket;
      socket.onerror = () => {}; // `close` follows and says all; without a listener some runtimes take it for a crash
      socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
      socket.onclose = ({ code, reason }) => socket === this.#socket && this.#drop(code, reason);
    } catch (error) {
      this.#drop(CLOSE_NO_ADDRESS, `cannot connect: ${error.message}`);
    }
  }

  /** The token to connect with; a function is asked only when the last one is refused. Fails if the text does not have the form of a token. */
  async #freshToken() {
    const { token } = this.#options;
    if (typeof token === "function" && this.#token !== null) return this.#token;
    const given = typeof token === "function" ? await token() : token;
    const text = typeof given === "string" ? given.trim() : "";
    if (text.length > TOKEN_CHARS_MAX || !TOKEN_FORM.test(text)) throw new TypeError("the text does not have the form of a token");
    this.#token = text;
    return text;
  }

  /** Forget the socket and ignore its later events. */
  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    for (const name of Object.keys(this.#timers)) if (name !== "likes") this.#clear(name);
    return socket;
  }

  /** The connection is lost, or given up by us: come back later or finish. */
  #drop(code, reason) {
    this.#detach()?.close(code >= 3000 && code < 5000 ? code : 1000);
    this.#lost = { code, reason };
    this.#emit("disconnected", { code, reason });
    if (this.#closed) return;
    const then = thenOf(code);
    if (then === "final" || (then === "token" && typeof this.#options.token !== "function")) return this.#finish(code, reason);
    const heldMs = performance.now() - this.#joinedAtMs;
    if (heldMs >= STABLE_MS) this.#attempt = this.#tokensRefused = 0;
    this.#untold = code === CLOSE_LOST && this.#joinedAtMs === Infinity ? this.#untold + 1 : 0;
    if (then === "token") this.#tokensRefused += 1;
    if (then === "token" || this.#untold % UNTOLD_MAX === UNTOLD_MAX - 1) this.#token = null;
    this.#joinedAtMs = Infinity;
    const namedMs = this.#namedMs;
    this.#namedMs = null;
    if (then === "replaced") {
      this.#status = "replaced";
      return this.#emit("replaced", { code, reason });
    }
    const unauthorized = this.#tokensRefused >= TOKENS_REFUSED_MAX;
    const delayMs = namedMs ?? this.#jitter(this.#attempt, unauthorized ? UNAUTHORIZED_BACKOFF_MAX_MS : undefined);
    this.#attempt += 1;
    this.#status = this.#ban ? "banned" : unauthorized ? "unauthorized" : "reconnecting";
    if (this.#tokensRefused === TOKENS_REFUSED_MAX && then === "token") this.#emit("unauthorized", { code, reason });
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
    for (const command of [...this.#commands.values()]) {
      const { id } = command;
      this.#unanswered(id).reject(mayHaveHappened(command) ? new CommandUnanswered(id, { code, reason }) : this.#closed);
    }
    this.#settleReady.reject(this.#closed);
    for (const iterator of this.#iterators) iterator.end(code === 1000 ? null : this.#closed);
    this.#emit("closed", { code, reason });
  }

  /** Full jitter: a random time up to a bound that doubles each time, so that a crowd never comes back at once. */
  #jitter(attempt, maxMs = this.#options.backoffMaxMs) {
    const { backoffMs, random } = this.#options;
    return random() * Math.min(maxMs, backoffMs * 2 ** Math.min(attempt, 30));
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
    this.#heardAtMs = performance.now();
    const frame = parsed(text);
    if (!frame) return this.#drop(CLOSE_GAP, "a frame was no JSON object");
    if (frame.time_ms) this.#clockOffsetsMs = [...this.#clockOffsetsMs, frame.time_ms - performance.now()].slice(-CLOCK_FRAMES);
    switch (frame.type) {
      case "joined":
        return this.#onJoined(frame);
      case "keyframe":
        return this.#onKeyframe(frame);
      case "entitlements":
        return this.#onEntitlements(frame);
      case "delta":
        return this.#onDelta(frame);
      case "skipped":
        return this.#onSkipped(frame);
      case "personal":
        return this.#onPersonal(frame);
      case "queued":
        return this.#onQueued(frame);
      case "interruption":
        return this.#onInterruption(frame);
      case "accepted":
        return this.#answer(frame.id)?.resolve({ id: frame.id, seq: frame.seq, result: frame.result ?? {} });
      case "refused":
        return this.#onRefused(frame);
      case "banned":
        return this.#onBanned(frame);
      case "going_away":
        this.#namedMs = frame.reconnect_after_ms;
    } // `beat` only shows that the connection is alive; types of later versions are ignored
  }

  #onJoined(frame) {
    this.#clear("join");
    this.#joined = frame;
    this.#status = "live";
    this.#interruption = this.#ban = null;
    this.#joinedAtMs = performance.now();
    for (const command of [...this.#commands.values()]) {
      const { id, bytes, sent, repeats } = command;
      const tooLarge = bytes > this.#bytesMax;
      if (tooLarge ? mayHaveHappened(command) : sent && !repeats) this.#unanswered(id).reject(new CommandUnanswered(id, this.#lost));
      else if (tooLarge) this.#answer(id).reject(new CommandRefused({ id, code: "too_large", detail: `at most ${this.#bytesMax} bytes are allowed` }));
    }
    this.#unsent = [...this.#commands.keys()]; // nobody knows what became of them: same ids, so at most one outcome
    this.#lost = {};
    this.#allowance = { count: BURST_MAX, atMs: performance.now() };
    this.#emit("joined", frame);
    this.#pump();
    this.#watch();
  }

  #onBanned({ until_ms: untilMs, time_ms, reason = "" }) {
    this.#ban = { untilMs, reason };
    this.#namedMs = Math.min(Math.max(0, untilMs - time_ms), BAN_WAIT_MAX_MS) + this.#jitter(0);
    this.#emit("banned", this.#ban);
  }

  #onKeyframe({ type: _, ...state }) {
    if (this.#state?.stream_id !== state.stream_id) this.#personalSeq = -1;
    this.#state = stateOf(state);
    this.#cursor = state.seq;
    this.#emit("state", { state: this.#state });
  }

  #onEntitlements({ type: _, ...entitlements }) {
    this.#entitlements = entitlementsOf(entitlements);
    this.#settleReady.resolve(this);
    this.#emit("entitlements", { entitlements: this.#entitlements });
  }

  #onDelta(frame) {
    if (frame.from > this.#cursor || !this.#state) return this.#drop(CLOSE_GAP, `missed ${this.#cursor} to ${frame.from}`);
    const entitlementsBefore = this.#entitlements;
    for (const event of frame.events) {
      const known = event.seq < this.#cursor; // had it before the connection was lost; `entitlements` may be of before that, from a gateway that is behind
      event.time_ms = frame.time_ms;
      const before = this.#state;
      if (!known) this.#state = fold(before, event, this.#options);
      this.#entitlements = foldEntitlements(this.#entitlements, event, this.#joined?.user, before, this.#state);
      if (known) continue;
      if (event.user === this.#joined?.user) this.#joined = withFeatures(this.#joined, ({ joined }, before) => foldOf(joined, event.type)?.(before, event));
      this.#emit("event", event);
      for (const iterator of this.#iterators) iterator.push(event);
    }
    if (frame.to > this.#cursor) {
      this.#cursor = frame.to;
      this.#state = { ...this.#state, seq: frame.to, time_ms: frame.time_ms };
      this.#emit("state", { state: this.#state });
    }
    if (this.#entitlements !== entitlementsBefore) this.#emit("entitlements", { entitlements: this.#entitlements });
  }

  #onPersonal(frame) {
    const { time_ms } = frame;
    const event = withFeatures({ ...frame.event, time_ms, personal: true }, ({ personal }) => personal?.(frame));
    const entitlementsBefore = this.#entitlements;
    this.#entitlements = foldEntitlements(entitlementsBefore, event, this.#joined?.user);
    if (this.#entitlements !== entitlementsBefore) this.#emit("entitlements", { entitlements: this.#entitlements });
    if (event.seq <= this.#personalSeq) return; // had it before the connection was lost
    this.#personalSeq = event.seq;
    this.#emit("personal", event);
    for (const iterator of this.#iterators) iterator.push(event);
  }

  #onQueued({ id, ahead }) {
    const command = this.#commands.get(id);
    if (command) command.queued = true;
    this.#emit("queued", { id, ahead });
  }

  #onInterruption({ since_ms: sinceMs, over = false }) {
    this.#interruption = over ? null : { sinceMs };
    this.#emit("interruption", { sinceMs, over });
  }

  #onSkipped({ from, to }) {
    if (to < from) this.#personalSeq = -1; // the stream was set back: seqs come again
    this.#emit("skipped", { from, to });
    for (const iterator of this.#iterators) iterator.push({ type: "skipped", from, to });
  }

  #onRefused(frame) {
    const command = this.#commands.get(frame.id);
    if (!command) return;
    const open = command.repeats && (frame.code === "unavailable" || ((command.sent > 1 || command.sentBefore) && !frame.seq && UNDECIDED.has(frame.code)));
    if (!open) return this.#answer(frame.id).reject(new CommandRefused(frame));
    if (command.retries >= RETRIES_MAX) return this.#unanswered(frame.id).reject(new CommandRefused(frame));
    command.retries += 1;
    const delayMs = Math.max(frame.retry_after_ms ?? 0, this.#jitter(command.retries));
    setTimeout(() => {
      if (!this.#commands.has(frame.id) || this.#unsent.includes(frame.id)) return;
      this.#unsent.push(frame.id);
      this.#pump();
    }, delayMs);
  }

  /** Remove a command whose outcome is known; `undefined` if it is answered already. */
  #answer(id) {
    const command = this.#remove(id);
    this.#sentIds.delete(id);
    return command;
  }

  /** Remove a command whose outcome is unknown, and remember it if it may have gone out. */
  #unanswered(id) {
    const command = this.#remove(id);
    if (command && mayHaveHappened(command)) this.#sentIds.add(id);
    return command;
  }

  #remove(id) {
    const command = this.#commands.get(id);
    this.#commands.delete(id);
    clearTimeout(command?.timer);
    return command;
  }

  /** Send what waits, no faster than the gateway allows. */
  #pump() {
    if (this.#status !== "live" || !this.#socket) return;
    const perMs = (this.#joined.commands_per_s || 1) / 1_000;
    const nowMs = performance.now();
    this.#allowance.count = Math.min(BURST_MAX, this.#allowance.count + (nowMs - this.#allowance.atMs) * perMs);
    this.#allowance.atMs = nowMs;
    while (this.#unsent.length && this.#allowance.count >= 1) {
      const command = this.#commands.get(this.#unsent.shift());
      if (!command) continue; // timed out before it went out
      this.#allowance.count -= 1;
      if (!this.#waits) this.#waitingSinceMs = nowMs;
      command.sent += 1;
      command.queued = false;
      this.#socket.send(command.text);
      this.#watch();
    }
    if (this.#unsent.length && this.#timers.pump === null) {
      this.#timers.pump = setTimeout(() => {
        this.#timers.pump = null;
        this.#pump();
      }, Math.ceil((1 - this.#allowance.count) / perMs));
    }
  }

  /** True if a command waits for an answer that a gateway gives in time. */
  get #waits() {
    return [...this.#commands.values()].some(({ sent, queued }) => sent && !queued);
  }

  /** When silence has lasted too long: beats are missing, or a gateway that answers every command in time did not. */
  get #deadAtMs() {
    const beats = this.#joined.beat_ms ? this.#heardAtMs + BEATS_MISSED_MAX * this.#joined.beat_ms : Infinity;
    const answers = this.#waits ? Math.max(this.#heardAtMs, this.#waitingSinceMs) + this.#options.silenceMs : Infinity;
    return Math.min(beats, answers);
  }

  /** Look again when the connection would count as dead, unless something arrives before. */
  #watch() {
    this.#clear("silence");
    const dueMs = this.#deadAtMs;
    if (dueMs === Infinity) return;
    this.#timers.silence = setTimeout(() => {
      this.#timers.silence = null;
      if (performance.now() - dueMs > STOOD_STILL_MS) return this.#probe();
      if (performance.now() >= this.#deadAtMs) return this.#drop(CLOSE_LOST, "no data came from the gateway");
      this.#watch();
    }, Math.max(0, dueMs - performance.now()));
  }

  /** Ask whether the link still works; without an answer in time it does not. A page cannot ping. */
  #probe() {
    if (this.#status !== "live" || this.#timers.probe !== null) return;
    const askedMs = performance.now();
    this.#socket.send('{"type":"probe"}');
    this.#timers.probe = setTimeout(() => {
      this.#timers.probe = null;
      if (this.#heardAtMs < askedMs) return this.#drop(CLOSE_LOST, "the gateway did not answer a probe");
      this.#watch();
    }, this.#options.probeMs);
  }

  #flushLikes() {
    if (this.#status !== "live") {
      this.#timers.likes = setTimeout(() => this.#flushLikes(), this.#options.likesBatchMs);
      return;
    }
    const { count, resolve, reject } = this.#likes;
    this.#likes = { count: 0, reply: null };
    this.#timers.likes = null;
    this.#send({ type: "send_likes", count }, newId(), { timeoutMs: this.#options.commandTimeoutMs, repeats: false }).then(resolve, reject);
  }
}

/** Ids whose commands went out in earlier calls and may have happened: their outcome is not known. */
class SentIds {
  #ids = new Set(); // the newest last
  #forgot = false;

  /** True if the command may have gone out. Once any id was forgotten, this holds for every id: a wrong no costs money. */
  has(id) {
    return this.#forgot || this.#ids.has(id);
  }

  add(id) {
    this.#ids.delete(id);
    this.#ids.add(id);
    if (this.#ids.size <= SENT_IDS_MAX) return;
    this.#ids.delete(this.#ids.values().next().value);
    this.#forgot = true;
  }

  delete(id) {
    this.#ids.delete(id);
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
      this.#queue = this.#queue.filter(({ personal }) => personal); // `entitlements` tells what came of them, not how
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

/** True if a command went out in its call or before. */
const mayHaveHappened = ({ sent, sentBefore }) => sent > 0 || sentBefore;

/** The next step after a connection ended with `code`: "retry", "token", "replaced" or "final". */
function thenOf(code) {
  return ENDINGS.find(([first, last]) => first <= code && code <= last)?.[2] ?? "retry";
}

/** The frame in a message, or `null` if it is none. */
function parsed(text) {
  try {
    const frame = JSON.parse(text);
    return typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}

function newId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(12));
  return `js-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

// The state and the entitlements: a frame, then events folded into it.

/** The newest of a list. */
const newest = (items, count) => items.slice(Math.max(0, items.length - count));

/** An object of counts by a name that others chose: names such as `constructor` and `__proto__` are names like any other. */
const byName = (...counts) => Object.assign(Object.create(null), ...counts);

/** Items with one of them changed; the same list if it is not among them. */
function withChanged(items, name, id, changed) {
  return items.some((item) => item[name] === id) ? items.map((item) => (item[name] === id ? { ...item, ...changed } : item)) : items;
}

/** Items without one of them. */
const without = (items, name, id) => items.filter((item) => item[name] !== id);

/** Sales without the ended ones; a closed sale ends with its last hold. */
const notOver = (sales) => (sales.some(isOver) ? sales.filter((sale) => !isOver(sale)) : sales);
const isOver = ({ state, held }) => state === "closed" && !held;

const filledCoupon = (coupon) => ({ order: "", ...coupon });
const withoutCoupon = ({ coupons }, coupon) => (coupons.some((item) => item.coupon === coupon) ? { coupons: without(coupons, "coupon", coupon) } : null);

/**
 * The features by name: how each fills and folds its part of the state and of the entitlements. Nothing else in this module knows a feature's
 * events or fields; methods such as `sendChat` are short for `send`. A feature of your own is one more entry, made before you connect.
 * All functions are pure. An entry has any of these:
 *
 * - state(keyframe): its fields of the state, with those that the keyframe leaves out.
 * - events: by event type, `(state, event, options) => fields`; the changed fields of the state, or `null` for none.
 * - entitlements(frame): its fields of the entitlements, with those that the frame leaves out.
 * - entitled: by event type, `(entitlements, event) => fields`; only for events of this user or of everybody.
 * - pruned(entitlements, before, after): fields of the entitlements that change because the state changed.
 * - personal(frame): fields that a personal event gets from its frame.
 * - joined: by event type, `(joined, event) => fields`; changed fields of the `joined` frame, for events of this user.
 */
export const FEATURES = {
  lifecycle: {
    state: ({ anchor_name = "", announcement = "", close_reason = "" }) => ({ anchor_name, announcement, close_reason }),
    events: {
      room_opened: (_, { title, anchor, anchor_name = "", time_ms }) => ({ title, anchor, anchor_name, open: true, opened_ms: time_ms, close_reason: "" }),
      room_closed: (_, { reason = "" }) => ({ open: false, close_reason: reason }),
      announcement_set: (_, { text }) => ({ announcement: text }),
    },
  },
  chat: {
    state: ({ chat = [], slow_mode_ms = 0, chat_budget = 0 }) => ({ chat, slow_mode_ms, chat_budget }),
    events: {
      room_opened: (_, { rules }) => ({ chat_budget: rules.chat_budget }),
      chat_sent: ({ chat }, { seq, user, name, text, role = "viewer", buyer = false }, { chatLinesKept = CHAT_LINES_KEPT }) => ({
        chat: newest([...chat, { seq, user, name, text, role, buyer }], chatLinesKept),
      }),
      message_deleted: ({ chat }, { message }) => ({ chat: without(chat, "seq", message) }),
      user_banned: ({ chat }, { user, messages_deleted = false }) => (messages_deleted ? { chat: without(chat, "user", user) } : null),
      slow_mode_set: (_, { interval_ms }) => ({ slow_mode_ms: interval_ms }),
      chat_budget_set: (_, { lines_per_s }) => ({ chat_budget: lines_per_s }),
    },
  },
  moderation: {
    joined: {
      user_muted: (_, { until_ms }) => ({ muted_until_ms: until_ms }),
      user_unmuted: () => ({ muted_until_ms: 0 }),
    },
  },
  questions: {
    state: ({ questions = [] }) => ({ questions }),
    events: {
      question_asked: ({ questions }, { seq, user, name, text }) => ({
        questions: newest([...questions, { seq, user, name, text, state: "asked", answer: "" }], QUESTIONS_KEPT),
      }),
      question_picked({ questions }, { question }) {
        const before = questions.find(({ state }) => state === "picked")?.seq; // one at a time
        return { questions: withChanged(withChanged(questions, "seq", before, { state: "asked" }), "seq", question, { state: "picked" }) };
      },
      question_answered: ({ questions }, { seq, question, text = "" }) => ({
        questions: withChanged(questions, "seq", question, { state: "answered", answer: text, answered_seq: seq }),
      }),
      question_dismissed: ({ questions }, { question }) => ({ questions: without(questions, "seq", question) }),
    },
  },
  likes: {
    state: ({ likes = 0 }) => ({ likes }),
    events: { likes_added: (_, { total }) => ({ likes: total }) },
  },
  showcase: {
    state: ({ pinned = null, showcase_version = 0, showcase_count = 0, try_ons }) => ({ pinned, showcase_version, showcase_count, try_ons: byName(try_ons) }),
    events: {
      product_added: (_, { seq, count }) => ({ showcase_version: seq, showcase_count: count }),
      product_removed({ try_ons }, { seq, product, count }) {
        const showcase = { showcase_version: seq, showcase_count: count };
        if (!(product in try_ons)) return showcase;
        const left = byName(try_ons);
        delete left[product];
        return { ...showcase, try_ons: left };
      },
      product_pinned: (_, { product }) => ({ pinned: product }),
      product_unpinned: () => ({ pinned: null }),
      try_on_requested({ try_ons }, { product, count }) {
        const counts = byName(try_ons);
        counts[product] = count;
        return { try_ons: counts };
      },
    },
  },
  audience: {
    state: ({ viewers = 0, unique = 0, unique_estimated = false, peak = 0 }) => ({ viewers, unique, unique_estimated, peak }),
    events: {
      audience_counted: (_, { viewers, unique, peak, unique_estimated = false }) => ({ viewers, unique, peak, unique_estimated }),
    },
  },
  red_envelope: {
    state: ({ envelopes = [] }) => ({
      envelopes: envelopes.map((envelope) => ({ open: false, condition: {}, users_per_address_max: 0, ...envelope })),
    }),
    events: {
      red_envelope_dropped({ envelopes }, { seq, title, total_fen, shares, split, opens_ms, closes_ms, commitment, condition = {}, users_per_address_max = 0 }) {
        const left = { shares_left: shares, left_fen: total_fen };
        const rules = { commitment, condition, users_per_address_max };
        const envelope = { envelope: seq, title, total_fen, shares, ...left, split, opens_ms, closes_ms, open: false, ...rules };
        return { envelopes: newest([...envelopes, envelope], OFFERS_KEPT) };
      },
      red_envelope_opened: ({ envelopes }, { envelope }) => ({ envelopes: withChanged(envelopes, "envelope", envelope, { open: true }) }),
      red_envelope_grabbed: ({ envelopes }, { envelope, shares_left, left_fen }) => ({
        envelopes: withChanged(envelopes, "envelope", envelope, { shares_left, left_fen }),
      }),
      red_envelope_closed: ({ envelopes }, { envelope }) => ({ envelopes: without(envelopes, "envelope", envelope) }),
    },
    entitlements: ({ shares = [] }) => ({ shares }),
    entitled: {
      red_envelope_grabbed: ({ shares }, { envelope, amount_fen }) => ({ shares: newest([...shares, { envelope, amount_fen }], SHARES_KEPT) }),
    },
  },
  coupon: {
    state: ({ coupons = [] }) => ({ coupons: coupons.map((coupon) => ({ users_per_address_max: 0, ...coupon })) }),
    events: {
      coupon_issued({ coupons }, { seq, title, terms, stock, per_user_max, claimable_until_ms, valid_until_ms, users_per_address_max = 0 }) {
        const until = { claimable_until_ms, valid_until_ms };
        const coupon = { coupon: seq, title, terms, stock, left: stock, per_user_max, ...until, users_per_address_max };
        return { coupons: newest([...coupons, coupon], OFFERS_KEPT) };
      },
      coupon_left: ({ coupons }, { coupon, left }) => ({ coupons: withChanged(coupons, "coupon", coupon, { left }) }),
      coupon_stopped: ({ coupons }, { coupon }) => ({ coupons: without(coupons, "coupon", coupon) }),
      coupon_expired: (state, { coupon }) => withoutCoupon(state, coupon),
    },
    entitlements: ({ coupons = [] }) => ({ coupons: coupons.map(filledCoupon) }),
    entitled: {
      coupon_claimed: ({ coupons }, { owned }) => (owned ? { coupons: [...coupons, owned] } : null),
      coupon_redeemed: ({ coupons }, { code, order }) => ({ coupons: withChanged(coupons, "code", code, { order }) }),
      coupon_released: ({ coupons }, { code }) => ({ coupons: withChanged(coupons, "code", code, { order: "" }) }),
      coupon_expired: (entitlements, { coupon }) => withoutCoupon(entitlements, coupon),
    },
    personal: ({ coupon }) => (coupon ? { owned: filledCoupon(coupon) } : null),
  },
  flash_sale: {
    state: ({ sales = [] }) => ({ sales: sales.map((sale) => ({ users_per_address_max: 0, ...sale })) }),
    events: {
      flash_sale_announced({ sales }, { seq, product, title, price_fen, stock, per_user_max, opens_ms, closes_ms, hold_ms, users_per_address_max = 0 }) {
        const units = { stock, available: stock, held: 0, sold: 0 };
        const rules = { per_user_max, opens_ms, closes_ms, hold_ms, users_per_address_max };
        return { sales: newest([...sales, { sale: seq, product, title, price_fen, ...units, ...rules, state: "announced" }], OFFERS_KEPT) };
      },
      flash_sale_opened: ({ sales }, { sale }) => ({ sales: withChanged(sales, "sale", sale, { state: "open" }) }),
      flash_sale_restocked: ({ sales }, { sale, stock }) => ({ sales: withChanged(sales, "sale", sale, { stock }) }),
      stock_changed: ({ sales }, { sale, available, held, sold }) => ({ sales: notOver(withChanged(sales, "sale", sale, { available, held, sold })) }),
      flash_sale_closed: ({ sales }, { sale, held = 0 }) => ({ sales: notOver(withChanged(sales, "sale", sale, { state: "closed", held })) }),
    },
    entitlements: ({ holds = [], bought = {} }) => ({ holds: holds.map((hold) => ({ discount_fen: 0, coupon_code: "", ...hold })), bought }),
    entitled: {
      stock_reserved: ({ holds }, { seq, sale, quantity, until_ms, due_fen, discount_fen = 0, coupon_code = "" }) => ({
        holds: [...holds, { hold: seq, sale, quantity, until_ms, due_fen, discount_fen, coupon_code }],
      }),
      hold_confirmed: ({ holds, bought }, { hold, sale, quantity }) => ({
        holds: without(holds, "hold", hold),
        bought: { ...bought, [sale]: (bought[sale] ?? 0) + quantity },
      }),
      hold_cancelled: ({ holds }, { hold }) => ({ holds: without(holds, "hold", hold) }),
      hold_expired: ({ holds }, { hold }) => ({ holds: without(holds, "hold", hold) }),
    },
    /** Units of an ended sale are no entitlements. */
    pruned({ bought }, { sales: before }, { sales: after }) {
      if (before.length <= after.length) return null;
      const over = before.filter(({ sale }) => sale in bought && !after.some((shown) => shown.sale === sale));
      if (!over.length) return null;
      const left = { ...bought };
      for (const { sale } of over) delete left[sale];
      return { bought: left };
    },
  },
};

/** The values after `change(feature, values)` of each feature; the same object if none changes a field. */
function withFeatures(values, change) {
  let changed = values;
  for (const feature of Object.values(FEATURES)) {
    const fields = change(feature, changed);
    if (fields) changed = { ...changed, ...fields };
  }
  return changed;
}

/** The function for this type in a table of a feature, if it has one. Others choose the types, so what every object has does not count. */
const foldOf = (table, type) => (table && Object.hasOwn(table, type) ? table[type] : null);

/** The state of a keyframe, with the fields that it leaves out. */
export function stateOf(keyframe) {
  return withFeatures(keyframe, ({ state }) => state?.(keyframe));
}

/** The state after one event (with `seq` and `time_ms`): the same object if it changed nothing public. `options` are those of `connect`. */
export function fold(state, event, options = {}) {
  return withFeatures(state, ({ events }, before) => foldOf(events, event.type)?.(before, event, options));
}

/** The entitlements of an `entitlements` frame, with the fields that it leaves out. */
export function entitlementsOf(frame) {
  return withFeatures({ seq: 0, omitted: 0, ...frame }, ({ entitlements }) => entitlements?.(frame));
}

/**
 * The entitlements of `user` after one event: the same object if it changed nothing. They have the events below `entitlements.seq` already.
 * `before` and `after` are the state around a public event.
 */
export function foldEntitlements(entitlements, event, user, before = null, after = before) {
  if (event.seq < entitlements.seq) return entitlements;
  const concerned = (event.user ?? user) === user;
  const folded = concerned ? withFeatures(entitlements, ({ entitled }, owned) => foldOf(entitled, event.type)?.(owned, event)) : entitlements;
  return before === after ? folded : withFeatures(folded, ({ pruned }, owned) => pruned?.(owned, before, after));
}
