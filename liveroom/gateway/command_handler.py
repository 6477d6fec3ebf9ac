"""Decodes the commands of viewers, enforces the limits, passes the commands on and writes the replies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from liveroom.auth.addresses import AddressHasher
from liveroom.config.schema import GatewayConfig
from liveroom.features.likes.messages import SendLikes
from liveroom.features.tables import admission_of
from liveroom.gateway.admission_controller import AdmissionController
from liveroom.gateway.connection import Connection, Stage
from liveroom.gateway.hub import Hub
from liveroom.gateway.likes import LikesReporter
from liveroom.gateway.limits import CommandLimits
from liveroom.gateway.wire import text_frame
from liveroom.journal.command_sender import CommandSender
from liveroom.messages.errors import BadMessage
from liveroom.protocol.codec import decode_client_message, encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Queued, Refused, Reply
from liveroom.protocol.inbound import ClientMessage, Probe
from liveroom.protocol.records import Request, Sender
from liveroom.telemetry.metrics import Metrics

__all__ = ["CommandHandler"]

#: Refusals without a decision. They count as the gateway's, even if the journal or the engine gave them.
NOT_DECIDED = frozenset({"unavailable", "overloaded"})


class CommandHandler:
    """Gives every command exactly one reply: the engine's answer, or a refusal of its own."""

    def __init__(
        self,
        config: GatewayConfig,
        metrics: Metrics,
        hub: Hub,
        command_sender: CommandSender,
        likes: LikesReporter,
        claims: AdmissionController,
        address_hasher: AddressHasher,
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._hub = hub
        self._command_sender = command_sender
        self._likes = likes
        self._claims = claims
        self._address_hasher = address_hasher
        self._now = now

    def on_message(self, connection: Connection, payload: bytes) -> None:
        """Handle one text message of a viewer."""
        config = self._config
        self._metrics.gateway_commands.inc()
        now = self._now()
        limits = connection.limits
        if limits is None:
            limits = connection.limits = CommandLimits(config.commands_burst, now)
        wait_ms = limits.take(config.commands_per_s, config.commands_burst, now)
        try:
            message = decode_client_message(payload)
        except BadMessage as error:
            self._refuse(connection, limits, Refused(error.command_id or "", error.code, error.detail, field=error.field or ""))
            return
        if wait_ms:
            words = f"at most {config.commands_per_s} commands a second are allowed"
            id = "" if isinstance(message, Probe) else message.id
            self._refuse(connection, limits, Refused(id, "rate_limited", words, retry_after_ms=wait_ms))
        elif isinstance(message, Probe):
            self._hub.send_beat(connection)
        elif len(payload) > config.command_bytes_max:
            self._refuse(connection, limits, Refused(message.id, "too_large", f"a command may have at most {config.command_bytes_max} bytes"))
        elif limits.waiting >= config.commands_waiting_max:
            self._metrics.gateway_refusals.labels("overloaded").inc()
            words = f"{limits.waiting} commands of this connection are still waiting"
            connection.send(text_frame(encode(Refused(message.id, "overloaded", words, retry_after_ms=1_000))))
        else:
            self._submit(connection, limits, message)

    def _submit(self, connection: Connection, limits: CommandLimits, message: ClientMessage) -> None:
        limits.waiting += 1
        sender, command = connection.sender, message.command
        assert sender is not None
        on_reply = partial(self._reply, connection)
        if isinstance(command, SendLikes):
            self._likes.add(connection.room_id, message.id, command.count, on_reply)
            return
        room = self._hub.rooms.get(connection.room_id)
        queue = room.admission_queues.find(command, live=room.live) if room is not None and sender.role in command.roles else None
        admission = admission_of(command)
        if room is not None and admission is not None and admission.needs_watch_time:
            sender = msgspec.structs.replace(sender, watched_s=room.watched_s(sender.user, self._now()))
        if queue is None or queue.counts_addresses:
            sender = self._with_address_hash(connection, sender, command)
        request = Request(message.id, connection.room_id, sender, command)
        if queue is None or admission is None:
            self._command_sender.submit(request, on_reply)
            return
        self._claims.claim(queue, request, admission.claim(command)[1], on_reply, partial(_say_queued, connection, message.id))

    def _with_address_hash(self, connection: Connection, sender: Sender, command: Command) -> Sender:
        """The sender of a claim, with the hash of its address if the command's item counts addresses."""
        address_hash = self._address_hasher.hash(connection.address, connection.room_id, command)
        return msgspec.structs.replace(sender, address_hash=address_hash) if address_hash else sender

    def _reply(self, connection: Connection, reply: Reply) -> None:
        if connection.limits is not None:
            connection.limits.waiting -= 1
        if isinstance(reply, Refused) and reply.code in NOT_DECIDED:
            self._metrics.gateway_refusals.labels(reply.code).inc()
        if connection.stage is Stage.open:
            connection.send(text_frame(encode(reply)))

    def _refuse(self, connection: Connection, limits: CommandLimits, refusal: Refused) -> None:
        self._metrics.gateway_refusals.labels(refusal.code).inc()
        connection.send(text_frame(encode(refusal)))
        if limits.refuse(self._now()) > self._config.flood_refusals_max:
            connection.close(4504, "the client kept exceeding the limits")


def _say_queued(connection: Connection, command_id: str, ahead: int) -> None:
    if connection.stage is Stage.open:
        connection.send(text_frame(encode(Queued(command_id, ahead))))
