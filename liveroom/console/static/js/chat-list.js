/** The list of chat lines, on both pages. */

import { forget, h, reconcile } from "./dom.js";
import { t } from "./i18n.js";

const NAME_COLORS = 8;

/**
 * Shows lines in `list`; it follows the end unless the reader has scrolled up, then `more` (a button) leads back.
 * `extra(line)` may return elements to put at a line's end.
 */
export class ChatList {
  #list;
  #more;
  #extra;
  #lines = [];

  constructor(list, more, extra = () => null) {
    this.#list = list;
    this.#more = more;
    this.#extra = extra;
    list.addEventListener("scroll", () => this.#atEnd() && (more.hidden = true));
    more.addEventListener("click", () => this.#toEnd());
    new ResizeObserver(() => more.hidden && this.#toEnd()).observe(list);
  }

  /** Show exactly these lines; `me` is the user whose lines are marked. */
  show(lines, me) {
    const followed = this.#atEnd();
    const last = this.#lines.at(-1)?.seq ?? -1;
    this.#lines = lines;
    this.#list.dataset.empty = t("chat_empty");
    reconcile(this.#list, lines, { key: ({ seq }) => seq, make: (line) => this.#make(line, me) });
    if (followed) this.#toEnd();
    else if (lines.some(({ seq }) => seq > last)) this.#more.hidden = false;
  }

  /** Draw every line anew, in the language of now. */
  redraw(me) {
    forget(this.#list);
    this.show(this.#lines, me);
    this.#toEnd();
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

  #atEnd() {
    return this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 24;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#more.hidden = true;
  }
}

function colorOf(user) {
  let sum = 0;
  for (const letter of user) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return sum % NAME_COLORS;
}
