"""The audit of a storm: it has to see everything that a server may do wrong with money."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liveroom.features.red_envelope.entitlements import Share
from liveroom.protocol.frames import Accepted
from loadtests.lib.findings import FINDINGS, Findings
from loadtests.storm.audit import Course, Kill, audit_storm
from loadtests.storm.scenario import Case
from loadtests.storm.transcript import Asked, End, Letter, TimedReply, Transcript
from tests.loadtests.storm import transcripts
from tests.loadtests.storm.transcripts import THING, accepted, asked, refused

Make = Callable[[], tuple[Case, Course]]
Change = Callable[[Case, Course], Any]

MAKERS: tuple[Make, ...] = (transcripts.envelope, transcripts.coupon, transcripts.sale)


def found(case: Case, course: Course) -> set[str]:
    findings, _ = audit_storm(case, course)
    return set(findings.counts)


def of(case: Case, user: str, id: str = "c1") -> Asked:
    return next(one for one in case.transcript.asked if (one.user, one.id) == (user, id))


def result_of(case: Case, user: str, id: str = "c1") -> dict[str, Any]:
    reply = of(case, user, id).told[0].reply
    assert isinstance(reply, Accepted)
    return reply.result


def win(case: Case, user: str, id: str, **result: int | str) -> None:
    """A command that was refused was accepted."""
    of(case, user, id).told[:] = [TimedReply(0, accepted(id, 50, **result))]


@pytest.mark.parametrize("make", MAKERS)
def test_a_right_story_is_found_right(make: Make) -> None:
    """Retries, refusals, expired holds and payments that come twice are nothing wrong."""
    assert found(*make()) == set()


def account(case: Case) -> Any:
    """The thing's account in the ledger."""
    assert case.ledger is not None
    return (*case.ledger.envelopes, *case.ledger.coupons, *case.ledger.sales)[0]


def own(case: Case, which: int, **otherwise: Any) -> None:
    """A user's entitlements have something else."""
    owned = case.transcript.owned[which]
    owned.entitlements = msgspec.structs.replace(owned.entitlements, **otherwise)


def unwritten(case: Case, which: int) -> None:
    """The journal lacks an event."""
    assert case.journal is not None
    del case.journal[which]


def unexpired(case: Case) -> None:
    """The hold that expired never was."""
    del case.transcript.asked[2], case.transcript.letters[1]
    unwritten(case, 1)


def both(case: Case, code: str) -> None:
    """The first command, repeated, got another answer."""
    one = case.transcript.asked[0]
    one.told.append(TimedReply(0, refused(one.id, code)))
    one.sent += 1


WRONG_FOR_ALL: dict[str, tuple[Change, str]] = {
    "no answer": (lambda case, _: case.transcript.asked[0].told.clear(), "unanswered"),
    "a send without a reply": (lambda case, _: setattr(case.transcript.asked[0], "sent", 2), "unanswered"),
    "only busy": (lambda case, _: case.transcript.asked.append(asked("u9", "grab_red_envelope", refused("c1", "unavailable"))), "unanswered"),
    "a reply too many": (lambda case, _: setattr(case.transcript.asked[0], "sent", 0), "extra_answer"),
    "yes, then no": (lambda case, _: both(case, "already_grabbed"), "two_answers"),
    "an error": (
        lambda case, _: case.transcript.asked.append(asked("u9", "grab_red_envelope", refused("c1", "internal_error"))),
        "unexpected_refusal",
    ),
    "a gap": (lambda case, _: setattr(case.transcript, "gaps", 1), "gap"),
    "disorder": (lambda case, _: setattr(case.transcript, "disorders", 1), "gap"),
    "another past": (lambda case, _: setattr(case.transcript, "rewritten", 1), "rewritten"),
    "a lost connection": (lambda case, _: case.transcript.ends.append(End("u0", 0, "1006 lost")), "disconnected"),
    "somebody else's letter": (lambda case, _: case.transcript.letters.append(Letter("u3", 9, {"type": "muted", "user": "u0"})), "shown_otherwise"),
    "a broken ledger": (lambda _, course: setattr(course, "ledger_broken", "seq 3: no"), "audit_failed"),
    "the journal's audit": (lambda _, course: setattr(course.journal, "audit_ok", False), "audit_failed"),
    "a crowd in the engine": (lambda _, course: course.commands.update(accepted=3, refused=120), "engine_load"),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("wrong", WRONG_FOR_ALL)
def test_what_is_wrong_in_any_storm(make: Make, wrong: str) -> None:
    """Each is found under its code."""
    case, course = make()
    change, code = WRONG_FOR_ALL[wrong]
    change(case, course)
    assert code in found(case, course)


WRONG: dict[str, tuple[Make, Change, set[str]]] = {
    "a user wins twice": (
        transcripts.envelope,
        lambda case, _: win(case, "u0", "c2", envelope=THING, amount_fen=100),
        {"double_winner"},
    ),
    "a share too many": (
        transcripts.envelope,
        lambda case, _: win(case, "u3", "c1", envelope=THING, amount_fen=100),
        {"oversold", "sum", "shown_otherwise", "journal_otherwise"},
    ),
    "a share is lost": (
        transcripts.envelope,
        lambda case, _: of(case, "u2").told.__setitem__(0, TimedReply(0, refused("c1", "envelope_empty"))),
        {"lost_unit", "sum", "shown_otherwise", "journal_otherwise"},
    ),
    "an empty share": (
        transcripts.envelope,
        lambda case, _: result_of(case, "u2").update(amount_fen=0),
        {"sum", "shown_otherwise", "journal_otherwise"},
    ),
    "money that is neither granted nor refunded": (
        transcripts.envelope,
        lambda case, _: setattr(account(case), "total_fen", 301),
        {"sum"},
    ),
    "money that stays": (transcripts.envelope, lambda case, _: setattr(account(case), "remaining_fen", 1), {"sum"}),
    "another share is shown": (transcripts.envelope, lambda case, _: case.transcript.shown[10].update(amount_fen=121), {"shown_otherwise"}),
    "a grant is not shown": (transcripts.envelope, lambda case, _: case.transcript.shown.pop(10), {"shown_otherwise"}),
    "a grant is not written": (transcripts.envelope, lambda case, _: unwritten(case, -1), {"journal_otherwise"}),
    "a winner owns nothing": (transcripts.envelope, lambda case, _: own(case, 0, shares=()), {"owned_otherwise"}),
    "a loser owns a share": (transcripts.envelope, lambda case, _: own(case, 2, shares=(Share(THING, 1),)), {"owned_otherwise"}),
    "a code is not owned": (transcripts.coupon, lambda case, _: own(case, 0, coupons=()), {"owned_otherwise"}),
    "another's code is owned": (transcripts.coupon, lambda case, _: setattr(case.transcript.owned[0], "user", "u1"), {"owned_otherwise"}),
    "what was paid is not owned": (transcripts.sale, lambda case, _: own(case, 0, bought={}), {"owned_otherwise"}),
    "more is owned than was paid": (transcripts.sale, lambda case, _: own(case, 1, bought={THING: 2}), {"owned_otherwise"}),
    "another's hold is owned": (transcripts.sale, lambda case, _: setattr(case.transcript.owned[1], "user", "u2"), {"owned_otherwise"}),
    "a code twice": (
        transcripts.coupon,
        lambda case, _: result_of(case, "u1").update(code="AAAA"),
        {"double_code", "shown_otherwise", "journal_otherwise"},
    ),
    "more codes than a user may have": (
        transcripts.coupon,
        lambda case, _: win(case, "u0", "c2", coupon=THING, code="DDDD"),
        {"over_limit", "oversold", "sum", "journal_otherwise"},
    ),
    "a code is lost": (
        transcripts.coupon,
        lambda case, _: of(case, "u1").told.__setitem__(0, TimedReply(0, refused("c1", "coupon_gone"))),
        {"lost_unit", "sum", "shown_otherwise", "journal_otherwise"},
    ),
    "another code in the letter": (
        transcripts.coupon,
        lambda case, _: case.transcript.letters[0].event.update(code="XXXX"),
        {"shown_otherwise", "journal_otherwise"},
    ),
    "a hold twice": (transcripts.sale, lambda case, _: result_of(case, "u2").update(hold=20), {"double_hold"}),
    "a unit is not sold": (
        transcripts.sale,
        lambda case, _: result_of(case, "platform", "hold-30").update(quantity=0, returned=2, paid_fen=0),
        {"lost_unit", "sum", "journal_otherwise"},
    ),
    "a unit too many": (
        transcripts.sale,
        lambda case, _: result_of(case, "platform", "hold-30").update(quantity=2, returned=0, paid_fen=2 * transcripts.PRICE_FEN),
        {"oversold", "sum", "journal_otherwise"},
    ),
    "more than a user may buy": (transcripts.sale, lambda case, _: setattr(of(case, "u1", "c2"), "user", "u0"), {"over_limit", "journal_otherwise"}),
    "two receipts": (transcripts.sale, lambda case, _: result_of(case, "platform", "hold-20-again").update(paid_fen=1), {"two_receipts"}),
    "the ledger's gross": (transcripts.sale, lambda case, _: setattr(account(case), "gross_fen", 1), {"sum"}),
    "a wrong price": (
        transcripts.sale,
        lambda case, _: [result_of(case, "platform", key).update(paid_fen=1) for key in ("hold-20", "hold-20-again")],
        {"sum", "journal_otherwise"},
    ),
    "stock that vanished": (transcripts.sale, lambda case, _: setattr(account(case), "sold", 2), {"sum"}),
    "nothing expired": (
        transcripts.sale,
        lambda case, _: unexpired(case),
        {"not_resold"},
    ),
    "a hold is not written": (transcripts.sale, lambda case, _: unwritten(case, 0), {"journal_otherwise"}),
    "a payment is not written": (transcripts.sale, lambda case, _: unwritten(case, -1), {"journal_otherwise"}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_money(wrong: str) -> None:
    """Each is found, under its code and nothing that it has no part in."""
    make, change, codes = WRONG[wrong]
    case, course = make()
    change(case, course)
    assert codes <= found(case, course)


@pytest.mark.parametrize("make", MAKERS)
def test_a_kill(make: Make) -> None:
    """Answers from before a kill stay the same after it. Only a kill may end connections, and it has to happen."""
    case, course = make()
    case = case._replace(options=msgspec.structs.replace(case.options, kills=1))
    assert found(case, course) == {"kill_missing"}
    course.kills.append(Kill(1, 1, 2))
    case.transcript.ends.append(End("u0", 0, "1006 lost"))
    assert found(case, course) == {"kill_missing"}, "nobody asked again"
    first = case.transcript.asked[0]
    first.told.append(TimedReply(1, first.told[0].reply))
    first.sent += 1
    assert found(case, course) == set()
    first.told[-1] = TimedReply(1, refused(first.id, "sold_out"))
    assert found(case, course) == {"other_answer_after_kill"}
    first.told[-1] = TimedReply(1, accepted(first.id, 99, **first.told[0].reply.result))  # type: ignore[union-attr]
    assert found(case, course) == {"other_answer_after_kill"}, "a yes is repeated to the letter"
    case.transcript.ends.append(End("u0", 1, "1006 lost"))
    assert found(case, course) == {"other_answer_after_kill", "disconnected"}


def test_stock_that_comes_back_may_change_a_no() -> None:
    """A sale is sold out until a hold ends: the same id may be accepted later, and never the other way round."""
    case, course = transcripts.sale()
    late = case.transcript.asked[0]
    late.told.insert(0, TimedReply(0, refused(late.id, "sold_out")))
    late.sent += 1
    assert found(case, course) == set()
    late.told.reverse()
    assert "two_answers" in found(case, course)


def test_processes_that_saw_different_things() -> None:
    """Two viewers who were told different events at one seq are found, also when they are of different processes."""
    one, other = (
        Transcript(shown={5: {"type": "red_envelope_grabbed", "user": "a"}}),
        Transcript(shown={5: {"type": "red_envelope_grabbed", "user": "b"}}),
    )
    one.add(Transcript(shown=dict(one.shown)))
    assert one.rewritten == 0
    one.add(other)
    assert one.rewritten == 1


def test_every_finding_is_explained() -> None:
    """Each code stands in the documentation, with a few of its cases in the report."""
    words = (Path(__file__).parents[3] / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [code for code in FINDINGS if f"`{code}`" not in words] == []
    findings = Findings()
    for number in range(20):
        findings.same("sum", "fen", number, -1)
    assert findings.to_plain()["sum"]["count"] == 20
    assert len(findings.to_plain()["sum"]["examples"]) == 5
