/** Likes on the viewer page: the button with the total, and hearts that float up. */

import { byId, toast } from "../../dom.js";
import { shortNumber, t } from "../../i18n.js";
import { reasonOf } from "../../reasons.js";
import { floatHearts } from "./hearts.js";

const HEARTS_MAX = 6; // hearts shown for one frame of other people's likes

/** Put it into the page. */
export function mount({ room, changed }) {
  const like = byId("like");
  let own = 0; // taps of ours that the total does not hold yet
  like.disabled = !room;
  like.addEventListener("click", () => {
    floatHearts(1);
    own += 1;
    changed();
    room.sendLikes(1).catch((error) => {
      own = 0;
      changed();
      toast(reasonOf(error), "bad");
    });
  });
  return {
    show({ state }) {
      like.disabled = !room || !state.open;
      like.title = like.disabled ? t(state.open ? "no_token_viewer" : "room_ended") : "";
      byId("likes").textContent = shortNumber(state.likes + own);
    },
    onEvent({ type, count }) {
      if (type !== "likes_added") return;
      const others = Math.max(0, count - own);
      own = Math.max(0, own - count);
      floatHearts(Math.min(HEARTS_MAX, others));
    },
  };
}
