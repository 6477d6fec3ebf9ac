"""Turns a client's bytes into texts.

This module parses the common frames: a whole masked text, a ping, a pong, and a close without a reason. The websockets library parses all others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from liveroom.gateway.limits import ODD_FRAMES_MAX

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without its C extension
    from websockets.utils import apply_mask

__all__ = ["Inbound", "quiet_logger", "take_text"]

#: The websockets library logs headers and frames at debug level. Tokens and chat must never reach the log.
quiet_logger = logging.getLogger("liveroom.gateway.websockets")
quiet_logger.setLevel(logging.WARNING)

FRAME_TOO_LARGE = 1009
PROTOCOL_ERROR = 4503
FLOODING = 4504

#: Largest payload of a ping, a pong or a close, in bytes. RFC 6455, section 5.5.
CONTROL_BYTES_MAX = 125

_WHOLE_TEXT = 0x81
_WHOLE_PING = 0x89
_WHOLE_PONG = 0x8A
_WHOLE_CLOSE = 0x88
#: Closes without a reason: without a code, normal (1000), and going away (1001). RFC 6455, section 7.4.1.
_ORDINARY_CLOSES = frozenset({b"", b"\x03\xe8", b"\x03\xe9"})
_MASKED = 0x80
_HEADER_BYTES_MAX = 14


def take_text(data: bytes, at: int, bytes_max: int) -> tuple[bytes, int] | None:
    """The payload of the whole masked text frame at `at`, and the index after it. `None` for anything else."""
    size = len(data)
    if size < at + 6 or data[at] != _WHOLE_TEXT:
        return None
    length = data[at + 1] - _MASKED
    mask = at + 2
    if length == 126:
        if size < at + 8:
            return None
        length = data[at + 2] << 8 | data[at + 3]
        mask = at + 4
    elif not 0 <= length < 126:
        return None
    begin = mask + 4
    end = begin + length
    if end > size or length > bytes_max:
        return None
    return apply_mask(data[begin:end], data[mask:begin]), end


class Inbound:
    """The unfinished frame or message of one client. A connection makes it when needed and drops it once `idle`.

    It holds at most one frame and one message of `bytes_max` each.
    After `feed`, the caller checks three fields.
    `to_send` holds pongs and the echo of a close, `closed` tells that the client closed, and `broken` is the code to close with.
    `frames_left` is the number of further frames without a complete text. Once it is used up, `broken` means flooding.
    """

    __slots__ = ("_buffer", "_bytes_max", "_deflate", "_in_message", "_message", "_protocol", "broken", "closed", "frames_left", "to_send")

    def __init__(self, bytes_max: int, deflate: bool) -> None:
        self._bytes_max = bytes_max
        self._deflate = deflate
        self._buffer = bytearray()
        self._message = bytearray()
        self._in_message = False
        self._protocol: ServerProtocol | None = None
        self.to_send = b""
        self.frames_left = ODD_FRAMES_MAX
        self.closed = False
        self.broken = 0

    @property
    def idle(self) -> bool:
        """Whether no unfinished data is held."""
        return not self._buffer and not self._in_message

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take received bytes, and yield the texts that they complete. Bytes after a close or an error are ignored."""
        if self.closed or self.broken:
            return
        self._buffer += data
        while not self.closed and not self.broken:
            size = self._frame_size()
            if size is None or len(self._buffer) < size:
                return
            frame = bytes(self._buffer[:size])
            del self._buffer[:size]
            taken = None if self._in_message else take_text(frame, 0, self._bytes_max)
            if taken:
                yield taken[0]
                continue
            completed = [] if self._is_common_control(frame) else list(self._by_library(frame))
            yield from completed
            self.frames_left -= not completed
            if self.frames_left < 0:
                self.broken = self.broken or FLOODING

    def _frame_size(self) -> int | None:
        """The size of the first frame in the buffer; `None` if its header is incomplete. A frame beyond `bytes_max` breaks at once."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if not buffer[1] & _MASKED:
            self.broken = PROTOCOL_ERROR
            return None
        length = buffer[1] & 0x7F
        header = 6
        if length >= 126:
            header = 8 if length == 126 else _HEADER_BYTES_MAX
            if len(buffer) < header - 4:
                return None
            length = int.from_bytes(buffer[2 : header - 4], "big")
        if length > self._bytes_max:
            self.broken = FRAME_TOO_LARGE
            return None
        return header + length

    def _is_common_control(self, frame: bytes) -> bool:
        """Answer a ping or an ordinary close, or ignore a pong; false for any other frame. The library would take 100 us for each."""
        opcode, payload_at = frame[0], 6
        if opcode == _WHOLE_CLOSE and not self._in_message:
            body = apply_mask(frame[payload_at:], frame[2:payload_at])
            if body not in _ORDINARY_CLOSES:
                return False
            self.to_send += bytes((_WHOLE_CLOSE, len(body))) + body
            self.closed = True
            return True
        if frame[1] - _MASKED > CONTROL_BYTES_MAX or opcode not in (_WHOLE_PING, _WHOLE_PONG):
            return False
        if opcode == _WHOLE_PING:
            payload = apply_mask(frame[payload_at:], frame[2:payload_at])
            self.to_send += bytes((_WHOLE_PONG, len(payload))) + payload
        return True

    def _by_library(self, frame: bytes) -> Iterator[bytes]:
        protocol = self._protocol
        if protocol is None:
            protocol = self._protocol = ServerProtocol(state=OPEN, max_size=self._bytes_max, logger=quiet_logger)
            if self._deflate:
                protocol.extensions = [PerMessageDeflate(True, True, 15, 15)]
        protocol.receive_data(frame)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            yield from self._take(event)
        writes = protocol.data_to_send()
        if protocol.parser_exc is not None:
            self.broken = self.broken or (FRAME_TOO_LARGE if isinstance(protocol.parser_exc, PayloadTooBig) else PROTOCOL_ERROR)
        else:
            self.to_send += b"".join(writes)
        if not self._in_message:
            self._protocol = None

    def _take(self, event: Frame) -> Iterator[bytes]:
        if event.opcode is Opcode.BINARY:
            self.broken = PROTOCOL_ERROR
        elif event.opcode is Opcode.CLOSE:
            self.closed = True
        elif event.opcode in (Opcode.TEXT, Opcode.CONT):
            self._message += event.data
            self._in_message = not event.fin
            if event.fin:
                payload = bytes(self._message)
                self._message.clear()
                yield payload
