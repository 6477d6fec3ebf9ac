"""The claims that `decisions` sends to each side, with their users, their ids and the right answers."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from msgspec import Struct

__all__ = ["GRANTED", "ClaimRound", "JobKind", "Mix", "SampleClaim", "make_rounds"]

JobKind = Literal["grab", "reserve"]
#: `winners`: every claim gets something. `crowd`: as many claims come too late, some exceed the user's limit, some are sent twice.
Mix = Literal["winners", "crowd"]

#: The answer to a claim that got something; every other answer is the code of a refusal.
GRANTED: Final = "granted"

#: Units of a sale that one user may have; every user in a round wants all of them, one at a time.
PER_USER_MAX: Final = 2
#: Every n-th user in a crowd who got something claims again under another id.
GREEDY_EVERY: Final = 20
#: Every n-th claim of a crowd is sent again under the same id.
RETRIED_EVERY: Final = 50

_TOO_MANY: Final = {"grab": "already_grabbed", "reserve": "per_user_limit"}
_GONE: Final = {"grab": "envelope_empty", "reserve": "sold_out"}


class SampleClaim(Struct, frozen=True):
    """One claim by a user; the id is the claim's own, and a retry has it again."""

    user: str
    id: str


class ClaimRound(Struct, frozen=True):
    """One item of `units` shares or pieces, and all claims of it in order; `answers` has the right number of each answer."""

    units: int
    claims: tuple[SampleClaim, ...]
    answers: Counter[str]
    retries: int


def make_rounds(kind: JobKind, mix: Mix, units: int, units_max: int) -> list[ClaimRound]:
    """Rounds for `units` altogether, at most `units_max` in each."""
    return [_round(kind, mix, number, min(units_max, units - at)) for number, at in enumerate(range(0, units, units_max))]


def _round(kind: JobKind, mix: Mix, number: int, units: int) -> ClaimRound:
    each = 1 if kind == "grab" else PER_USER_MAX
    claims: list[SampleClaim] = []
    answers: Counter[str] = Counter()
    retries = 0
    for at in range(units):
        user = f"user-{number}-{at // each}"
        claim = SampleClaim(user, f"c{number}-{at}")
        claims.append(claim)
        answers[GRANTED] += 1
        if mix == "crowd" and at % GREEDY_EVERY == each - 1:
            claims.append(SampleClaim(user, f"g{number}-{at}"))
            answers[_TOO_MANY[kind]] += 1
        if mix == "crowd" and at % RETRIED_EVERY == 0:
            claims.append(claim)
            answers[GRANTED] += 1
            retries += 1
    for at in range(units if mix == "crowd" else 0):
        claims.append(SampleClaim(f"late-{number}-{at}", f"l{number}-{at}"))
        answers[_GONE[kind]] += 1
        if at % RETRIED_EVERY == 0:
            claims.append(claims[-1])
            answers[_GONE[kind]] += 1
            retries += 1
    return ClaimRound(units, tuple(claims), answers, retries)
