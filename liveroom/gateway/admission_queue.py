"""The line before one scarce thing: claims go on to the engine while there are units for them, the rest wait in order of arrival.

No I/O and no clock: whoever holds a gate tells it what the stream says (`set_stock`, `end`, `add_winner`), brings claims and answers, and
after each of these takes what `next` says until it says nothing more. docs/admission.md tells the rules and why.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import Request

__all__ = ["PLACES_PER_USER_MAX", "WINNERS_MAX", "AdmissionQueue", "Claim", "ReplyCallback", "Step"]

#: Winners of one thing that a gate remembers; beyond it nobody is refused here any more, since anybody may be one that asks again.
WINNERS_MAX: Final = 200_000

#: Places that one user may have in the line before one thing. More claims, each under an id of its own, are refused at once.
PLACES_PER_USER_MAX: Final = 4

#: The most that one claim may be for; `units_max` is what the thing itself allows.
UNITS_MAX: Final = 1_000

Reply = Accepted | Refused
#: Tells one of those who wait for a claim's outcome.
ReplyCallback = Callable[[Reply], None]


class Claim:
    """One place in the line; `callbacks` are all who wait at it, each with its own request."""

    __slots__ = ("at", "callbacks", "counted", "key", "number", "parked", "request", "units")

    def __init__(self, key: object, request: Request, units: int, at: float, number: int) -> None:
        self.key = key
        self.request = request
        self.units = units
        self.at = at
        self.number = number
        self.parked = True
        self.counted = False  # among those under way that may take units
        self.callbacks: list[tuple[Request, ReplyCallback]] = []


class Step(Struct, frozen=True):
    """What is to be done with a claim: send it to the engine, or refuse it with `code`."""

    claim: Claim
    code: str = ""


class AdmissionQueue:
    """Of one thing. `once`: a user has one place, whatever the ids. `returns`: units may come back, so the line waits when there are none.

    `sure` says whether every winner so far is known. If not, a claim may be a winner's that asks again after its answer was
    lost, so nobody is refused here: the line goes to the engine, a few at a time.
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
        self._winners: dict[str, int] = {}  # user -> the dry time in which the engine was last asked for them
        self._claims: dict[object, Claim] = {}
        self._lines: dict[int, deque[Claim]] = {}  # by units, each in order of arrival
        self._bypass: deque[Claim] = deque()  # winners' claims: to the engine, past the line
        self._under_way = 0  # units of the counted claims that the engine has not answered
        self._number = 0
        self._places: Counter[str] = Counter()  # by user, in the line
        self.parked = 0
        self.units_max = UNITS_MAX
        self.counts_addresses = True  # whether claims must name theirs; of what is not known they do
        self.seq = 0  # the room's seq up to which the stream was heard

    # What the stream says

    def set_stock(self, left: int, held: int = 0) -> None:
        """So many units are left, and so many may come back."""
        if left and not self._left:
            self._sold_out_count += 1
        self._left, self._held = left, held

    def end(self, code: str) -> None:
        """It is over: later claims are refused with `code`."""
        self._end_code = code

    def add_winner(self, user: str) -> None:
        """A user got units."""
        if len(self._winners) < WINNERS_MAX:
            self._winners.setdefault(user, -1)
        else:
            self._complete = False

    def mark_complete(self) -> None:
        """Everything that became of the thing so far was heard."""
        self._complete = True

    def mark_incomplete(self) -> None:
        """Something may have become of the thing that was not heard; of one that is over nothing can."""
        if not self._end_code:
            self._complete = False
            self.set_stock(0)

    @property
    def gone(self) -> str:
        """The code that the engine refuses every new claim with; empty while there are units or may be."""
        if self._end_code:
            return self._end_code
        return self._empty_code if self._complete and not self._left and not self._held else ""

    @property
    def idle(self) -> bool:
        """Whether no claim waits, here or for the engine."""
        return not self._claims

    # Claims

    def claim(self, request: Request, units: int, on_reply: ReplyCallback, now: float) -> Claim | None:
        """Take a claim; one that repeats another that has no outcome yet joins it. `None` when its user has as many places as one may."""
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
                self.parked += 1
                self._lines.setdefault(units, deque()).append(claim)
        claim.callbacks.append((request, on_reply))
        return claim

    def ahead(self, claim: Claim) -> int:
        """At most so many claims are before this one in the line."""
        return claim.number - min(line[0].number for line in self._lines.values())

    def next(self, now: float) -> Step | None:
        """The next claim that leaves the line; `None` when the others have to wait."""
        while True:
            if self._bypass:
                return Step(self._bypass.popleft())
            if claim := self._admitted():
                self._take_out(claim)
                claim.counted = True
                self._under_way += claim.units
                return Step(claim)
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
            return Step(claim, code)

    def answered(self, claim: Claim, now: float) -> list[ReplyCallback]:
        """The engine answered a claim that went on to it, or nobody knows whether it did. Gives those who asked under its id.

        Its user's other ids may have outcomes of their own, which only the engine knows: they take their turn now.
        """
        del self._claims[claim.key]
        if claim.counted:
            self._under_way -= claim.units
        for request, on_reply in claim.callbacks:
            if request.id != claim.request.id:  # only where a user has one place, which is free now
                self.claim(request, claim.units, on_reply, now)
        return [on_reply for request, on_reply in claim.callbacks if request.id == claim.request.id]

    def _passes(self, user: str) -> bool:
        """Whether a user's claim goes past the line: a winner's that takes no units, since the engine answers it as it did before, or no."""
        asked = self._winners.get(user)
        if asked is None:
            return False
        if self._once or self.gone:
            return True
        if self._left or asked == self._sold_out_count:
            return False
        self._winners[user] = self._sold_out_count  # once while there are no units: those in the line shall not be overtaken
        return True

    def _let_bypass(self, claim: Claim) -> None:
        claim.parked = False
        self._bypass.append(claim)

    def _take_out(self, claim: Claim) -> None:
        line = self._lines[claim.units]
        line.popleft()
        if not line:
            del self._lines[claim.units]
        claim.parked = False
        self.parked -= 1
        user = claim.request.sender.user
        self._places[user] -= 1
        if not self._places[user]:
            del self._places[user]

    def _oldest(self, units_max: int) -> Claim | None:
        """The claim that has waited longest, of those for at most `units_max` units (0 = of all)."""
        heads = (line[0] for units, line in self._lines.items() if not units_max or units <= units_max)
        return min(heads, key=lambda claim: claim.number, default=None)

    def _admitted(self) -> Claim | None:
        """The first claim that there are units for, if so much may be under way at once."""
        if self._complete:
            if not self._left or self._end_code:
                return None
            claim = self._oldest(self._left)
            # What comes back is worth a place in the line: nobody is sent to the engine on the chance that others fail.
            limit = self._left if self._returns else self._left + self._margin
        else:
            claim = self._oldest(0)
            limit = self._left + self._margin
        if claim is None or (self._under_way and self._under_way + claim.units > limit):
            return None
        return claim

    def _refusal_code(self, claim: Claim, now: float) -> str:
        """The code to refuse the oldest claim with; empty while it may wait."""
        if self._complete and (gone := self.gone):
            return gone
        if claim.at + self._wait_s > now:
            return ""
        return self._empty_code if self._complete and claim.units > self._left else "overloaded"
