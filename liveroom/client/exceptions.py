"""The exceptions of the client.

`ClientError` is a `LiveroomError` and the base of the others:

- `CommandRefused`: the room or the gateway answered no (`code`, `detail`, `field`, `retry_after_ms`, `id`).
- `CommandUnanswered`: no answer came in time, or the room was left after the command went out (`sent`, `code`, `reason`).
  To find the outcome, send the command again with its `id`.
- `TooManyCommands`: too many commands of this client wait for their answers, so this call did not send its own.
- `Disconnected`: the client gave up the room, which refused, banned or could not be reached (`code`, `reason`).
  This client did not send the command.
"""

from __future__ import annotations

from liveroom.messages.errors import LiveroomError

__all__ = ["ClientError", "CommandRefused", "CommandUnanswered", "Disconnected", "TooManyCommands"]


class ClientError(LiveroomError):
    """Base of the SDK's exceptions."""


class CommandRefused(ClientError):
    """The answer to a command is no; `code` is one of `liveroom.protocol.refusals.REFUSALS`, or newer than this client."""

    def __init__(self, code: str, detail: str, *, field: str = "", retry_after_ms: int = 0, id: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.id = id


class CommandUnanswered(ClientError):
    """No answer came in time or before the room was left. Sent again with the same `id` within 10 minutes, the command happens at most once.

    `sent` is true when the command went out in this call, or may have gone out in an earlier call of this client that had no outcome.
    Otherwise it is false, and a command under an id that the client made for this call did not happen. Another process may still have sent
    an id of your own. If the connection was lost, `code` and `reason` are those of its end; else `code` is 0.
    """

    def __init__(self, id: str, *, sent: bool = True, code: int = 0, reason: str = "") -> None:
        words = f"no answer to command {id}; its outcome is unknown" if sent else f"this call did not send command {id}"
        ended = f"the connection ended with {code}: {reason}" if reason else f"the connection ended with {code}"
        super().__init__(f"{words}; {ended}" if code else words)
        self.id = id
        self.sent = sent
        self.code = code
        self.reason = reason


class TooManyCommands(ClientError):
    """The limit of waiting commands is reached, so this call did not send its own."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} commands wait for their answer already")


class Disconnected(ClientError):
    """The room was left, and the client does not reconnect by itself.

    `code` is the WebSocket close code, the HTTP status when the handshake was refused, or 1006 without any answer.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"disconnected with {code}: {reason}" if reason else f"disconnected with {code}")
        self.code = code
        self.reason = reason
