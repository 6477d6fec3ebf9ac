/** The red envelopes of the page, their phases, and the one on top. No page, no clock of its own. */

/** An envelope moves to the top by itself this long before it opens. */
const READY_MS = 10_000;
/** The result of an envelope stays on top for this time after its end ... */
const SHOWN_OVER_MS = 15_000;
/** ... longer while the user reads it ... */
const HELD_OVER_MS = 60_000;
/** ... and stays in the list for this time. */
const KEPT_OVER_MS = 180_000;
/** Most ended envelopes in the list; the newest stay. */
const OVER_MAX = 3;

/**
 * Items are `{envelope, view, phase, close, overMs}`: phase "announced", "open" or "over"; `close` is its last event, `null` if
 * this page did not see it.
 */
export class EnvelopeQueue {
  #items = new Map(); // envelope -> item
  #aside = new Set();
  #chosen = null;
  #top = null;

  /** Follow the room: `views` are its live envelopes. `busy(envelope)`: a grab is under way, so it stays on top. `held()`: the user reads the top one. */
  show(views, nowMs, { busy = () => false, held = () => false } = {}) {
    const live = new Set();
    for (const view of views) {
      live.add(view.envelope);
      const item = this.#items.get(view.envelope) ?? { envelope: view.envelope, phase: "", close: null, overMs: 0 };
      const phase = nowMs >= view.closes_ms ? "over" : view.open || nowMs >= view.opens_ms ? "open" : "announced";
      if (phase === "open" && item.phase !== "open" && !busy(this.#chosen)) this.#chosen = null; // the newest open one comes up
      if (phase === "over" && item.phase !== "over") item.overMs = nowMs;
      this.#items.set(view.envelope, Object.assign(item, { view, phase }));
    }
    for (const item of this.#items.values()) {
      if (!live.has(item.envelope) && item.phase !== "over") Object.assign(item, { phase: "over", overMs: nowMs });
    }
    this.#pickTop(nowMs, busy, held);
    this.#drop(nowMs);
  }

  /** Take a `red_envelope_closed`, before the state without the envelope is shown. */
  close(event) {
    const item = this.#items.get(event.envelope);
    if (item) item.close = event;
  }

  /** All envelopes in the list, the newest first. */
  get items() {
    return [...this.#items.values()].sort((one, other) => other.envelope - one.envelope);
  }

  /** The envelope on top, or `null`. */
  get top() {
    return this.#items.get(this.#top) ?? null;
  }

  /** Put this envelope on top. */
  choose(envelope) {
    this.#aside.delete(envelope);
    this.#chosen = this.#top = envelope;
  }

  /** Minimize the top envelope; it stays in the list. */
  putAside() {
    this.#aside.add(this.#top);
    this.#chosen = this.#top = null;
  }

  /** The time of the next change that comes without an event; `Infinity` if never. */
  dueMs(nowMs) {
    const dues = this.items.flatMap(({ view, phase, overMs }) =>
      phase === "over" ? [SHOWN_OVER_MS, HELD_OVER_MS, KEPT_OVER_MS].map((ms) => overMs + ms) : [view.opens_ms - READY_MS, view.opens_ms, view.closes_ms],
    );
    return Math.min(Infinity, ...dues.filter((due) => due > nowMs));
  }

  #pickTop(nowMs, busy, held) {
    if (this.#top !== null && busy(this.#top)) return;
    const rest = this.items.filter(({ envelope }) => !this.#aside.has(envelope));
    const stays = ({ envelope, overMs }) => envelope === this.#top && nowMs < overMs + (held() ? HELD_OVER_MS : SHOWN_OVER_MS);
    const found =
      rest.find(({ envelope }) => envelope === this.#chosen) ??
      rest.find(({ phase }) => phase === "open") ??
      rest.find(({ phase, view }) => phase === "announced" && view.opens_ms - nowMs <= READY_MS) ??
      rest.find((item) => item.phase === "over" && stays(item));
    this.#top = found?.envelope ?? null;
  }

  #drop(nowMs) {
    const over = this.items.filter(({ phase, envelope }) => phase === "over" && envelope !== this.#top);
    for (const [place, { envelope, overMs }] of over.entries()) {
      if (place < OVER_MAX && nowMs < overMs + KEPT_OVER_MS) continue;
      this.#items.delete(envelope);
      this.#aside.delete(envelope);
    }
  }
}
