"""Brings claims through the gates: to the engine when there are units, to a line of their own when not, and tells their outcome."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from liveroom.gateway.admission_queue import PLACES_PER_USER_MAX, Claim, Gate, Reply, Step, Teller
from liveroom.journal.command_sender import Courier
from liveroom.messages.errors import REFUSALS
from liveroom.protocol.frames import Refused
from liveroom.protocol.records import Request
from liveroom.telemetry.metrics import Metrics

__all__ = ["PARKED_TOLD_S", "Claims"]

#: When a claim that waited in vain although there were units is worth another try.
RETRY_AFTER_MS = 1_000
#: Who waits for longer is told so: of a crowd at an opening most have their answer before.
PARKED_TOLD_S = 0.1

#: Takes how many are ahead at most.
OnParked = Callable[[int], None]


class Claims:
    """Of all rooms. Settling a gate takes up to `count` claims out of its line at once; `sweep` does the rest and lets the loop breathe."""

    def __init__(self, courier: Courier, metrics: Metrics, now: Callable[[], float], *, count: int) -> None:
        self._courier = courier
        self._metrics = metrics
        self._isolated = metrics.isolated
        self._now = now
        self._count = count
        self._lines: dict[Gate, None] = {}  # those where claims are parked
        self._unsettled: dict[Gate, None] = {}
        self._untold: deque[tuple[float, Gate, Claim, OnParked]] = deque()  # parked when they came, and since when
        self._wake = asyncio.Event()

    def claim(self, gate: Gate, request: Request, units: int, teller: Teller, on_parked: OnParked) -> None:
        """Take a claim; `teller` gets its outcome once, later. If that takes long, `on_parked` is called once before."""
        now = self._now()
        claim = gate.claim(request, units, teller, now)
        if claim is None:
            words = f"you already have {PLACES_PER_USER_MAX} claims waiting for this"
            teller(Refused(request.id, "overloaded", words, retry_after_ms=RETRY_AFTER_MS))
            return
        self.settle(gate)
        if claim.parked:
            self._untold.append((now, gate, claim, on_parked))

    def settle(self, gate: Gate) -> None:
        """Take out of a line what need not wait any longer."""
        if gate in self._unsettled:
            return  # in order: those before are not done
        self._settle(gate)

    async def sweep(self) -> None:
        """Settle what was too much at once, without end."""
        while True:
            self._wake.clear()
            if not self._unsettled:
                await self._wake.wait()
            for gate in list(self._unsettled):
                del self._unsettled[gate]
                self._isolated.each("gateway_claim", (gate,), self._settle)
                await asyncio.sleep(0)

    def tidy(self) -> None:
        """Answer those that waited too long, and tell others that they wait, up to `count` at once."""
        self._isolated.each("gateway_claim", list(self._lines), self.settle)
        self._metrics.gateway_claims_parked.set(sum(gate.parked for gate in self._lines))
        told, since = 0, self._now() - PARKED_TOLD_S
        while self._untold and self._untold[0][0] <= since and told < self._count:
            _, gate, claim, on_parked = self._untold.popleft()
            if claim.parked and not gate.gone:
                self._isolated.each("gateway_claim", (claim,), lambda claim: on_parked(gate.ahead(claim)))  # noqa: B023
                told += 1

    def _settle(self, gate: Gate) -> None:
        now = self._now()
        for _ in range(self._count):
            step = gate.next(now)
            if step is None:
                break
            self._take(gate, step)
        else:
            self._unsettled[gate] = None
            self._wake.set()
        if gate.parked:
            self._lines[gate] = None
        else:
            self._lines.pop(gate, None)

    def _take(self, gate: Gate, step: Step) -> None:
        claim, code = step.claim, step.code
        if not code:
            self._courier.submit(claim.request, partial(self._answered, gate, claim))
            return
        self._metrics.gateway_claims_answered_here.labels(code).inc(len(claim.tellers))
        if code == "overloaded":
            reply = Refused(id="", code=code, detail="others are ahead in the line; try again", retry_after_ms=RETRY_AFTER_MS)
        else:
            reply = Refused(id="", code=code, detail=REFUSALS[code][1], seq=gate.seq)
        self._isolated.each("command_answer", claim.tellers, lambda one: one[1](replace(reply, id=one[0].id)))

    def _answered(self, gate: Gate, claim: Claim, reply: Reply) -> None:
        self._isolated.each("command_answer", gate.answered(claim, self._now()), lambda teller: teller(reply))
        self.settle(gate)
