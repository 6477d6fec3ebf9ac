/** Keeps one command id per tap until its outcome is known, so that neither a second tap nor a reload makes it happen twice. */

/** The room remembers a command's outcome for this time; a later tap is a new command. */
const REMEMBERED_MS = 600_000;
/** After a reload, the page sends a tap again by itself if it is no older than this. */
const ASKED_AGAIN_MS = 60_000;
/** Most taps of one room that are remembered; the newest stay. */
const TAPS_MAX = 100;
/** Refusals that leave the outcome open: the next tap sends the same command again. */
const OPEN_CODES = new Set(["unavailable", "overloaded", "rate_limited"]);

/**
 * The taps of one room. Each has a key, such as `grab 17`, with at most one command under way.
 *
 * Dispatches `changed` when a tap changed, and `settled` with `{key, tap}` when one has its answer.
 */
export class Taps extends EventTarget {
  #room;
  #storage;
  #name;
  #user = null;
  #newId;
  #taps = new Map(); // key -> tap, in the order they were made

  /** `storage` survives a reload, such as `sessionStorage`; `newId()` gives the id of a command. */
  constructor(room, name, storage, newId) {
    super();
    this.#room = room;
    this.#name = name;
    this.#storage = storage;
    this.#newId = newId;
    room.addEventListener("joined", () => this.#recall());
    room.addEventListener("queued", ({ detail }) => this.#queued(detail));
  }

  /** The last tap of this key: `{phase, ahead, result, error, againMs, settledMs, command}`; `null` without one. Phases: "sent", "queued", "done", "refused", "idle". */
  of(key) {
    return this.#taps.get(key) ?? null;
  }

  /** True while the tap of this key waits for its answer. */
  waits(key) {
    return ["sent", "queued"].includes(this.of(key)?.phase);
  }

  /** Send `command`; while it is under way, another tap of its key does nothing. */
  tap(key, command) {
    if (this.waits(key)) return;
    const last = this.of(key);
    const open = last?.open && last.atMs + REMEMBERED_MS > this.#room.nowMs() && JSON.stringify(last.command) === JSON.stringify(command);
    this.#send(key, { id: open ? last.id : this.#newId(), command, atMs: open ? last.atMs : this.#room.nowMs() });
  }

  /** Forget a tap's outcome after the user read it. */
  forget(key) {
    if (this.waits(key) || !this.#taps.delete(key)) return;
    this.#changed();
  }

  async #send(key, { id, command, atMs }) {
    const tap = { id, command, atMs, phase: "sent", ahead: 0, open: true, result: null, error: null, againMs: 0, settledMs: 0 };
    this.#taps.delete(key);
    this.#taps.set(key, tap);
    for (const old of [...this.#taps.keys()].slice(0, -TAPS_MAX)) if (!this.waits(old)) this.#taps.delete(old);
    this.#changed();
    try {
      const { result } = await this.#room.send(command, { id });
      Object.assign(tap, { phase: "done", open: false, result });
    } catch (error) {
      const againMs = error.retryAfterMs ? this.#room.nowMs() + error.retryAfterMs : 0;
      Object.assign(tap, { phase: "refused", againMs, open: error.name !== "CommandRefused" || OPEN_CODES.has(error.code), error });
    }
    tap.settledMs = this.#room.nowMs();
    this.#changed();
    this.dispatchEvent(new CustomEvent("settled", { detail: { key, tap } }));
  }

  #queued({ id, ahead }) {
    for (const tap of this.#taps.values()) if (tap.id === id && tap.phase !== "done") Object.assign(tap, { phase: "queued", ahead });
    this.#changed();
  }

  #changed() {
    if (this.#user !== null) {
      const open = [...this.#taps].filter(([, tap]) => tap.open).map(([key, { id, command, atMs }]) => [key, { id, command, atMs }]);
      this.#storage.setItem(this.#keptAs, JSON.stringify(open));
    }
    this.dispatchEvent(new CustomEvent("changed"));
  }

  get #keptAs() {
    return `liveroom.taps.${this.#name}.${this.#user}`; // ids are a user's own
  }

  /** At the first join, go on with the taps whose answers the previous page did not get. */
  #recall() {
    if (this.#user !== null) return;
    this.#user = this.#room.joined.user;
    for (const [key, kept] of JSON.parse(this.#storage.getItem(this.#keptAs) ?? "[]")) {
      const ageMs = this.#room.nowMs() - kept.atMs;
      if (ageMs < ASKED_AGAIN_MS) this.#send(key, kept);
      else if (ageMs < REMEMBERED_MS) this.#taps.set(key, { ...kept, phase: "idle", ahead: 0, open: true, result: null, error: null, againMs: 0, settledMs: 0 });
    }
    this.dispatchEvent(new CustomEvent("changed"));
  }
}
