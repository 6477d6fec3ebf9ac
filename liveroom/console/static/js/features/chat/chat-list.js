/** The list of chat lines, on both pages. */

import { forget, h, reconcile } from "../../dom.js";
import { t } from "../../i18n.js";

const NAME_COLORS = 8;

/** Distance from the end that still counts as the end. */
const END_PX = 24;

/**
 * Shows lines in `list`, and follows the end. If the reader has scrolled up, the lines stay in place and `more` (a button) leads back.
 * `extra(line)` may return elements to put at a line's end.
 */
export class ChatList {
  #list;
  #more;
  #extra;
  #lines = [];
  #height = 0; // of the list when it was scrolled last
  #follows = true; // until the reader scrolls up: neither new lines nor another size of the list decide that

  constructor(list, more, extra = () => null) {
    this.#list = list;
    this.#more = more;
    this.#extra = extra;
    list.addEventListener("scroll", () => this.#scrolled());
    more.addEventListener("click", () => this.#toEnd());
    new ResizeObserver(() => (this.#follows || this.#isAtEnd()) && this.#toEnd()).observe(list);
  }

  /** Show exactly these lines; `me` is the user whose lines are marked. */
  show(lines, me) {
    const last = this.#lines.at(-1)?.seq ?? -1;
    const read = this.#follows ? null : this.#lineRead();
    this.#lines = lines;
    this.#list.dataset.empty = t("chat_empty");
    reconcile(this.#list, lines, { key: ({ seq }) => seq, make: (line) => this.#make(line, me) });
    if (this.#follows) return this.#toEnd();
    if (read?.line.isConnected) this.#list.scrollTop += read.line.offsetTop - read.top; // old lines went above it
    if (lines.some(({ seq }) => seq > last)) this.#more.hidden = false;
  }

  /** Redraw every line in the present language. */
  redraw(me) {
    forget(this.#list);
    this.#follows = true;
    this.show(this.#lines, me);
  }

  #make(line, me) {
    const { seq, user, name, text, role = "viewer", buyer = false, hint = "" } = line;
    return h(
      "p",
      { class: `line role-${role}${user === me ? " mine" : ""}${hint ? " unshown" : ""}`, "data-seq": seq, "data-user": user },
      role !== "viewer" && h("span", { class: "badge" }, t(`role_${role}`)),
      buyer && h("span", { class: "badge badge-buyer" }, t("buyer")),
      h("bdi", { class: `name name-${colorOf(user)}`, title: user }, name),
      h("bdi", { class: "text" }, text),
      hint && h("small", { class: "line-hint" }, hint),
      this.#extra(line),
    );
  }

  #scrolled() {
    const { clientHeight } = this.#list;
    const heightBefore = this.#height;
    this.#height = clientHeight;
    if (this.#isAtEnd()) {
      this.#follows = true;
      this.#more.hidden = true;
    } else if (clientHeight === heightBefore) this.#follows = false; // with another height the list moved, not the reader
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < END_PX;
  }

  /** The first visible line, and its position. */
  #lineRead() {
    const { scrollTop } = this.#list;
    const line = [...this.#list.children].find(({ offsetTop, offsetHeight }) => offsetTop + offsetHeight > scrollTop);
    return line && { line, top: line.offsetTop };
  }

  #toEnd() {
    this.#follows = true;
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#more.hidden = true;
  }
}

function colorOf(user) {
  let sum = 0;
  for (const letter of user) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return sum % NAME_COLORS;
}
