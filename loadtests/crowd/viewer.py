"""A viewer: follows the room's stream; all viewers of the process share one frame audit."""

from __future__ import annotations

import time

import msgspec
from msgspec import Struct

from loadtests.crowd.frame_audit import AuditStep, FrameAudit
from loadtests.lib.lean_client import Address
from loadtests.lib.room_connection import RoomConnection

__all__ = ["Viewer"]


class _Frame(Struct):
    type: str
    seq: int = 0
    stream_id: str = ""
    resumed: bool = False


_frame = msgspec.json.Decoder(_Frame)


class Viewer(RoomConnection):
    """`at` is its place in the frame audit; one that comes back begins where its last connection was."""

    def __init__(
        self, address: Address, path: str, token: str, frame_audit: FrameAudit, *, at: AuditStep | None = None, deflate: bool = False
    ) -> None:
        super().__init__(address, path, token, deflate=deflate)
        self.at = at
        self.stream_id = ""
        self.resumed = False
        self.skipped = 0
        self._frame_audit = frame_audit

    def on_join(self) -> None:
        """The room's state is there."""
        if not self.joined.done():
            self.joined.set_result(None)

    def on_other(self, type: str, text: bytes) -> None:
        """A frame that is not the stream's, or a keyframe, which is both."""

    def data_received(self, data: bytes) -> None:
        """The common case, a frame that another viewer has decoded, costs one comparison."""
        at = self.at
        if at is not None and (step := at.next) is not None and data == step.raw and not self._buffer:
            self._pass(step)
        else:
            super().data_received(data)

    def _on_frame(self, raw: bytes) -> None:
        if self.at is not None and (step := self.at.next) is not None and raw == step.raw:
            self._pass(step)
        else:
            super()._on_frame(raw)

    def _pass(self, step: AuditStep) -> None:
        self.at = step
        self._frame_audit.deltas += 1
        if step.due_ns:
            step.arrivals_ns.append(time.monotonic_ns())

    def on_text(self, raw: bytes, text: bytes) -> None:
        """A frame that is decoded for the first time."""
        if text.startswith(b'{"type":"delta"') and self.at is not None:
            self._frame_audit.deltas += 1
            self.at = self._frame_audit.advance(self.at, raw, text)
            return
        frame = _frame.decode(text)
        if frame.type == "joined":
            self.stream_id, self.resumed = frame.stream_id, frame.resumed
            if frame.resumed:
                self.on_join()
        elif frame.type == "keyframe":
            self.at = self._frame_audit.begin(frame.seq) if self.at is None else self._frame_audit.jump(self.at, frame.seq)
            self.on_other(frame.type, text)
            self.on_join()
        elif frame.type == "skipped" and self.at is not None:
            self.skipped += 1
            self.at = self._frame_audit.skip(self.at)
        else:
            self.on_other(frame.type, text)
