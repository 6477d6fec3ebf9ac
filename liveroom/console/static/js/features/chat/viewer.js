/** Chat on the viewer page: the lines, and the field to write in. */

import { byId } from "../../dom.js";
import { ChatList } from "./chat-list.js";
import { Composer } from "./composer.js";

/** Put it into the page. */
export function mount({ room, changed }) {
  const list = new ChatList(byId("chat"), byId("chat-more"));
  const composer = room && new Composer(room);
  byId("composer").hidden = !room;
  composer?.addEventListener("changed", changed);
  let reader = null;
  return {
    show({ state, me }) {
      reader = me;
      list.show(composer ? composer.withUnshown(state.chat) : state.chat, me);
      composer?.draw();
    },
    redraw: () => list.redraw(reader),
  };
}
