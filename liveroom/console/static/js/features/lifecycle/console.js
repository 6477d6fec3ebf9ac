/** The room in the console: its title and state, opening and ending it, and its announcement. */

import { SettingFields } from "../../console/setting-fields.js";
import { byId } from "../../dom.js";
import { t } from "../../i18n.js";

const CLOSE_NOT_OPENED = 4004;

/** Put it into the page. */
export function mount({ room, name, push, mayAnchor }) {
  const fields = new SettingFields(push);
  let opened = null; // whether the room was ever opened; null = not known yet
  const draw = () => drawHeader(room.state, name, opened, mayAnchor);
  fields.onSubmit("announce", (control) => fields.save("set_announcement", { text: byId("announcement").value }, control));
  byId("take-down").addEventListener("click", ({ currentTarget }) => fields.save("set_announcement", { text: "" }, currentTarget));
  wireOpening(room, push);
  room.addEventListener("disconnected", ({ detail }) => {
    if (detail.code === CLOSE_NOT_OPENED) opened = false;
    draw();
  });
  draw();
  return {
    show({ state }) {
      opened = true;
      draw();
      fields.fill("announcement", state.announcement);
    },
    redraw: draw,
  };
}

function drawHeader(state, name, opened, mayAnchor) {
  const open = state?.open ?? false;
  byId("title").textContent = state?.title ?? t("console_title");
  const parts = state ? [name, state.anchor_name || state.anchor, state.close_reason && t("ended_because", { reason: state.close_reason })] : [name];
  byId("subtitle").textContent = parts.filter(Boolean).join(" · ");
  document.title = `${state?.title ?? name} · ${t("console_title")}`;
  byId("mode").hidden = !state && opened !== false;
  byId("mode").className = `pill ${open ? "on" : "off"}`;
  byId("mode").textContent = t(open ? "live" : state ? "ended" : "not_opened");
  byId("close-room").hidden = !open || !mayAnchor;
  byId("open-room").hidden = open || (!state && opened !== false) || !mayAnchor;
}

function wireOpening(room, push) {
  byId("open-room").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    if (await push("open_room", { title: byId("open-title").value }, { control: submitted.submitter })) {
      byId("open-title").value = "";
      room.retryNow();
    }
  });
  byId("close-room").addEventListener("click", () => byId("closing").showModal());
  byId("closing").addEventListener("close", async () => {
    if (byId("closing").returnValue !== "do") return;
    await push("close_room", { reason: byId("closing-reason").value }, { control: byId("close-room") });
    byId("closing-reason").value = "";
  });
}
