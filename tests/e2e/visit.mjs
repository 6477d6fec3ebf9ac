// A visit (see visit.py) by any client with the WebSocket interface of browsers: a page, Node's own, Node's `ws`.
// `open(url, protocols)` makes a connection; `more.sendParted(socket, text)` and `more.ping(socket)` do what only some clients can.

export async function visit(open, plan, more = {}) {
  const told = { received: [], closes: [], extensions: [] };
  const first = await enter(open, plan, told, "");
  await first.until(() => first.frames.some((frame) => frame.type === "keyframe"));
  for (const text of plan.whole) first.socket.send(text);
  for (const text of plan.parted) more.sendParted ? more.sendParted(first.socket, text) : first.socket.send(text);
  await first.until(() => {
    const replies = first.frames.filter((frame) => "id" in frame);
    return replies.length === plan.ids.length && replies.every((reply) => (reply.seq ?? 0) <= first.cursor);
  });
  await new Promise((resolve) => setTimeout(resolve, plan.quiet_ms));
  if (more.ping) await more.ping(first.socket);
  await first.close();
  const { stream_id, seq } = first.frames[0];
  const second = await enter(open, plan, told, `?stream_id=${stream_id}&seq=${seq}`);
  await second.until(() => second.cursor >= first.cursor);
  await second.close();
  return told;
}

async function enter(open, plan, told, query) {
  const socket = open(plan.url + query, ["liveroom.v1", `liveroom.token.${plan.token}`]);
  const visit = { socket, frames: [], cursor: 0, closed: 0, wake: () => {} };
  const received = [];
  told.received.push(received);
  socket.onmessage = ({ data }) => {
    received.push(data);
    const frame = JSON.parse(data);
    visit.frames.push(frame);
    if (frame.type === "keyframe") visit.cursor = frame.seq;
    if (frame.type === "delta") visit.cursor = Math.max(visit.cursor, frame.to);
    visit.wake();
  };
  socket.onclose = ({ code }) => {
    visit.closed = code;
    visit.wake();
  };
  socket.onerror = () => {}; // a close with its code follows
  visit.until = async (enough) => {
    while (!enough()) {
      if (visit.closed) throw new Error(`${plan.user}: closed with ${visit.closed} after ${received.length} frames`);
      await new Promise((resolve) => (visit.wake = resolve));
    }
  };
  visit.close = async () => {
    socket.close(1000);
    while (!visit.closed) await new Promise((resolve) => (visit.wake = resolve));
    told.closes.push(visit.closed);
  };
  await visit.until(() => visit.frames.length > 0);
  if (socket.protocol !== "liveroom.v1") throw new Error(`${plan.user}: subprotocol ${socket.protocol}`);
  told.extensions.push(socket.extensions);
  return visit;
}
