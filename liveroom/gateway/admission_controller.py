"""Moves claims through the admission queues: sends them to the engine, refuses them or lets them wait, and delivers their outcomes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from liveroom.gateway.admission_queue import PLACES_PER_USER_MAX, AdmissionQueue, AdmissionStep, Claim
from liveroom.journal.command_sender import CommandSender, ReplyCallback
from liveroom.process.turns import Turns
from liveroom.protocol.frames import Refused, Reply
from liveroom.protocol.records import Request
from liveroom.protocol.refusals import REFUSALS
from liveroom.telemetry.metrics import Metrics

__all__ = ["QUEUED_AFTER_S", "AdmissionController"]

#: Retry time for a claim that waited too long although units were left, or that found no free place.
RETRY_AFTER_MS = 1_000
#: A viewer whose claim waits longer than this gets a `queued` frame. Most claims of a crowd have their answer before.
QUEUED_AFTER_S = 0.1

#: Takes an upper bound of the claims that wait before this one.
OnQueued = Callable[[int], None]


class AdmissionController:
    """Serves the admission queues of all rooms.

    One call drains up to `count` claims of a queue.
    `drain_rest` drains the rest, and yields to the event loop in between.
    """

    def __init__(self, command_sender: CommandSender, metrics: Metrics, now: Callable[[], float], *, count: int) -> None:
        self._command_sender = command_sender
        self._metrics = metrics
        self._isolated = metrics.isolated
        self._now = now
        self._count = count
        self._lines: dict[AdmissionQueue, None] = {}  # queues with waiting claims
        self._undrained: dict[AdmissionQueue, None] = {}
        self._to_announce: deque[tuple[float, AdmissionQueue, Claim, OnQueued]] = deque()  # claims that may need a `queued` frame
        self._wake = asyncio.Event()

    def claim(self, queue: AdmissionQueue, request: Request, units: int, on_reply: ReplyCallback, on_queued: OnQueued) -> None:
        """Take a claim. `on_reply` gets its outcome once. If the claim waits long, `on_queued` is called once before."""
        now = self._now()
        claim = queue.claim(request, units, on_reply, now)
        if claim is None:
            words = f"you already have {PLACES_PER_USER_MAX} claims waiting for this"
            on_reply(Refused(request.id, "overloaded", words, retry_after_ms=RETRY_AFTER_MS))
            return
        self.drain(queue)
        if claim.queued:
            self._to_announce.append((now, queue, claim, on_queued))

    def drain(self, queue: AdmissionQueue) -> None:
        """Send or refuse the claims of a queue that need not wait any longer."""
        if queue in self._undrained:
            return  # `drain_rest` is at work on this queue and keeps the order
        self._drain(queue)

    async def drain_rest(self) -> None:
        """Drain the queues that had too many claims for one call. Never returns."""
        turns = Turns(self._now)
        while True:
            self._wake.clear()
            if not self._undrained:
                await self._wake.wait()
            for queue in list(self._undrained):
                del self._undrained[queue]
                self._isolated.each("gateway_claim", (queue,), self._drain)
                await turns.pause()

    def tidy(self) -> None:
        """Refuse claims that waited too long, and send up to `count` `queued` frames."""
        self._isolated.each("gateway_claim", list(self._lines), self.drain)
        self._metrics.gateway_claims_queued.set(sum(queue.queued for queue in self._lines))
        sent, since = 0, self._now() - QUEUED_AFTER_S
        while self._to_announce and self._to_announce[0][0] <= since and sent < self._count:
            _, queue, claim, on_queued = self._to_announce.popleft()
            if claim.queued and not queue.gone:
                self._isolated.each("gateway_claim", (claim,), lambda claim: on_queued(queue.ahead(claim)))  # noqa: B023
                sent += 1

    def _drain(self, queue: AdmissionQueue) -> None:
        now = self._now()
        for _ in range(self._count):
            step = queue.next(now)
            if step is None:
                break
            self._take(queue, step)
        else:
            self._undrained[queue] = None
            self._wake.set()
        if queue.queued:
            self._lines[queue] = None
        else:
            self._lines.pop(queue, None)

    def _take(self, queue: AdmissionQueue, step: AdmissionStep) -> None:
        claim, code = step.claim, step.code
        if not code:
            self._command_sender.submit(claim.request, partial(self._answered, queue, claim))
            return
        self._metrics.gateway_claims_answered_here.labels(code).inc(len(claim.callbacks))
        if code == "overloaded":
            reply = Refused(id="", code=code, detail="other claims are still waiting before yours; try again", retry_after_ms=RETRY_AFTER_MS)
        else:
            reply = Refused(id="", code=code, detail=REFUSALS[code][1], seq=queue.seq)
        self._isolated.each("command_answer", claim.callbacks, lambda one: one[1](replace(reply, id=one[0].id)))

    def _answered(self, queue: AdmissionQueue, claim: Claim, reply: Reply) -> None:
        self._isolated.each("command_answer", queue.answered(claim, self._now()), lambda on_reply: on_reply(reply))
        self.drain(queue)
