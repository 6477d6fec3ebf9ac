"""The admission queue of one scarce item: claims go to the engine while units are left, and the others wait in order of arrival.

How it works:

1. `claim` takes a claim. If it repeats a claim without an outcome, it joins that claim.
2. The events of the room's stream set the stock (`set_stock`), add winners (`add_winner`) and end the item (`end`).
3. After each of these calls the caller takes steps from `next` until it returns `None`. Each step sends one claim to the engine or refuses it.
4. `answered` takes the engine's answer, which frees the units that the queue had counted for the claim.

The queue counts the units of all claims that the engine has not answered.
It sends a claim only while these units fit into the stock, plus a margin.
So a crowd of claims costs the engine little more than the number of units.
A winner's repeated claim bypasses the queue, because the engine answers it without new units.

The queue has no I/O and no clock. docs/admission.md has the rules and their reasons.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from msgspec import Struct

from liveroom.journal.command_sender import ReplyCallback
from liveroom.protocol.records import Request

__all__ = ["PLACES_PER_USER_MAX", "WINNERS_MAX", "AdmissionQueue", "AdmissionStep", "Claim"]

#: Winners of one item that a queue remembers. Beyond this the queue refuses no claim, because any user may be a winner who asks again.
WINNERS_MAX: Final = 200_000

#: Places that one user may have in a queue. Further claims, each with its own command id, are refused at once.
PLACES_PER_USER_MAX: Final = 4

#: Units that one claim may ask for at most. `units_max` of a queue is the limit of its item.
UNITS_MAX: Final = 1_000


class Claim:
    """One place in the queue. `callbacks` holds each request that waits at this place, with its callback."""

    __slots__ = ("at", "callbacks", "counted", "key", "number", "queued", "request", "units")

    def __init__(self, key: object, request: Request, units: int, at: float, number: int) -> None:
        self.key = key
        self.request = request
        self.units = units
        self.at = at
        self.number = number
        self.queued = True
        self.counted = False  # its units are part of the queue's units under way
        self.callbacks: list[tuple[Request, ReplyCallback]] = []


class AdmissionStep(Struct, frozen=True):
    """The next action for a claim: send it to the engine, or, with a `code`, refuse it."""

    claim: Claim
    code: str = ""


class AdmissionQueue:
    """The claims for one item.

    With `once`, a user has one place, whatever the command ids.
    With `returns`, units may come back, so claims wait while no unit is left but some are held.

    The queue is complete while it knows every winner so far.
    In an incomplete queue, any claim may come from a winner whose answer was lost.
    Such a queue calls no item sold out: it sends claims to the engine, a few at a time.
    """

    def __init__(self, empty_code: str, margin: int, wait_s: float, *, once: bool = False, returns: bool = False) -> None:
        self._empty_code = empty_code
        self._margin = margin
        self._wait_s = wait_s
        self._once = once
        self._returns = returns
        self._complete = False
        self._left = 0
        self._held = 0
        self._end_code = ""
        self._sold_out_count = 0  # how many times the units ran out and came back
        self._winners: dict[str, int] = {}  # user -> the value of `_sold_out_count` at the user's last bypass
        self._claims: dict[object, Claim] = {}
        self._lines: dict[int, deque[Claim]] = {}  # waiting claims by units, each deque in order of arrival
        self._bypass: deque[Claim] = deque()  # claims of winners, which go to the engine before all others
        self._under_way = 0  # units of the counted claims that the engine has not answered
        self._number = 0
        self._places: Counter[str] = Counter()  # waiting claims by user
        self.queued = 0
        self.units_max = UNITS_MAX
        self.counts_addresses = True  # True if claims must carry an address hash; also true while the item is not known
        self.seq = 0  # the seq after the last event that the queue has applied

    # Events of the stream

    def set_stock(self, left: int, held: int = 0) -> None:
        """Set the units that are left, and the held units that may come back."""
        if left and not self._left:
            self._sold_out_count += 1
        self._left, self._held = left, held

    def end(self, code: str) -> None:
        """End the item: later claims are refused with `code`."""
        self._end_code = code

    def add_winner(self, user: str) -> None:
        """Remember that a user got units."""
        if len(self._winners) < WINNERS_MAX:
            self._winners.setdefault(user, -1)
        else:
            self._complete = False

    def mark_complete(self) -> None:
        """Note that the queue knows all events of the item so far."""
        self._complete = True

    def mark_incomplete(self) -> None:
        """Note that the queue may have missed events of the item. An item that has ended gets no more events, so its queue stays as it is."""
        if not self._end_code:
            self._complete = False
            self.set_stock(0)

    @property
    def gone(self) -> str:
        """The code with which the engine refuses every new claim; empty while units are left or may come back."""
        if self._end_code:
            return self._end_code
        return self._empty_code if self._complete and not self._left and not self._held else ""

    @property
    def idle(self) -> bool:
        """Whether no claim waits, neither in the queue nor for the engine's answer."""
        return not self._claims

    # Claims

    def claim(self, request: Request, units: int, on_reply: ReplyCallback, now: float) -> Claim | None:
        """Take a claim; a repeated claim joins the first one while that has no outcome. `None` if its user has no free place."""
        user = request.sender.user
        key: object = user if self._once else (user, request.id, request.command)
        claim = self._claims.get(key)
        if claim is None:
            passes = self._passes(user)
            if not passes and self._places[user] >= PLACES_PER_USER_MAX:
                return None
            claim = self._claims[key] = Claim(key, request, units, now, self._number)
            if passes:
                self._let_bypass(claim)
            else:
                self._places[user] += 1
                self._number += 1
                self.queued += 1
                self._lines.setdefault(units, deque()).append(claim)
        claim.callbacks.append((request, on_reply))
        return claim

    def ahead(self, claim: Claim) -> int:
        """An upper bound of the claims that wait before this one."""
        return claim.number - min(line[0].number for line in self._lines.values())

    def next(self, now: float) -> AdmissionStep | None:
        """Take the next claim out of the queue; `None` if all others have to wait."""
        while True:
            if self._bypass:
                return AdmissionStep(self._bypass.popleft())
            if claim := self._admitted():
                self._take_out(claim)
                claim.counted = True
                self._under_way += claim.units
                return AdmissionStep(claim)
            if not (claim := self._oldest(0)):
                return None
            code = self._refusal_code(claim, now)
            if not code:
                return None
            self._take_out(claim)
            if code != "overloaded" and claim.request.sender.user in self._winners:
                self._let_bypass(claim)
                continue
            del self._claims[claim.key]
            return AdmissionStep(claim, code)

    def answered(self, claim: Claim, now: float) -> list[ReplyCallback]:
        """End a claim that the engine answered, or whose outcome is unknown. Returns the callbacks of its command id.

        Requests of the user under other ids may have other outcomes, which only the engine knows.
        They become a claim of their own now.
        """
        del self._claims[claim.key]
        if claim.counted:
            self._under_way -= claim.units
        for request, on_reply in claim.callbacks:
            if request.id != claim.request.id:  # happens only with `once`; the user's one place is free now
                self.claim(request, claim.units, on_reply, now)
        return [on_reply for request, on_reply in claim.callbacks if request.id == claim.request.id]

    def _passes(self, user: str) -> bool:
        """Whether a claim bypasses the queue: it comes from a winner, and the engine will repeat its answer or refuse it."""
        asked = self._winners.get(user)
        if asked is None:
            return False
        if self._once or self.gone:
            return True
        if self._left or asked == self._sold_out_count:
            return False
        self._winners[user] = self._sold_out_count  # once per sold-out period, so that winners do not overtake waiting claims when units return
        return True

    def _let_bypass(self, claim: Claim) -> None:
        claim.queued = False
        self._bypass.append(claim)

    def _take_out(self, claim: Claim) -> None:
        line = self._lines[claim.units]
        line.popleft()
        if not line:
            del self._lines[claim.units]
        claim.queued = False
        self.queued -= 1
        user = claim.request.sender.user
        self._places[user] -= 1
        if not self._places[user]:
            del self._places[user]

    def _oldest(self, units_max: int) -> Claim | None:
        """The claim that has waited longest, among claims for at most `units_max` units (0: among all)."""
        heads = (line[0] for units, line in self._lines.items() if not units_max or units <= units_max)
        return min(heads, key=lambda claim: claim.number, default=None)

    def _admitted(self) -> Claim | None:
        """The first claim that the units allow, if its units may be under way together with the others."""
        if self._complete:
            if not self._left or self._end_code:
                return None
            claim = self._oldest(self._left)
            # If units may come back, waiting is worth it: no claim goes to the engine in the hope that others fail.
            limit = self._left if self._returns else self._left + self._margin
        else:
            claim = self._oldest(0)
            limit = self._left + self._margin
        if claim is None or (self._under_way and self._under_way + claim.units > limit):
            return None
        return claim

    def _refusal_code(self, claim: Claim, now: float) -> str:
        """The code that refuses the oldest claim; empty while the claim may wait."""
        if self._complete and (gone := self.gone):
            return gone
        if claim.at + self._wait_s > now:
            return ""
        return self._empty_code if self._complete and claim.units > self._left else "overloaded"
