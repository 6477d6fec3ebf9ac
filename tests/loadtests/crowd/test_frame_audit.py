"""The audit: it has to see what a server may do wrong."""

import json
import time

from loadtests.crowd.frame_audit import AuditResult, AuditStep, FrameAudit, LatencyProbe, probe_text


def frame(from_: int, to: int, *probes: tuple[int, int], sender: int = 0) -> tuple[bytes, bytes]:
    """A delta with probes as (seq, number), as on the wire and as text; both the same here."""
    events = [
        {"type": "announcement_set", "seq": seq, "text": probe_text(LatencyProbe(number, sender, time.monotonic_ns()))} for seq, number in probes
    ]
    text = json.dumps({"type": "delta", "from": from_, "to": to, "time_ms": 1, "events": events}).encode()
    return text, text


def walked(frame_audit: FrameAudit, at: AuditStep, *frames: tuple[bytes, bytes]) -> AuditStep:
    for raw, text in frames:
        at = frame_audit.advance(at, raw, text)
    return at


def audit(place: AuditStep, *accepted: int, undecided: tuple[int, ...] = ()) -> AuditResult:
    return FrameAudit.audit([place], set(accepted), set(undecided))


ONE, TWO, THREE = frame(0, 1, (0, 0)), frame(1, 3, (1, 1), (2, 2)), frame(3, 4, (3, 3))


def test_a_clean_run() -> None:
    """All that was accepted, once and in order, is clean."""
    frame_audit = FrameAudit()
    place = walked(frame_audit, frame_audit.begin(0), ONE, TWO, THREE)
    assert audit(place, 0, 1, 2, 3) == AuditResult(viewers=1, expected=4, delivered=4)
    assert audit(place, 0, 1, 2, 3).clean
    assert (frame_audit.gaps, frame_audit.disorders) == (0, 0)


def test_the_same_bytes_are_decoded_once() -> None:
    """A second viewer finds the step that the first one left."""
    frame_audit = FrameAudit()
    begin = frame_audit.begin(0)
    walked(frame_audit, begin, ONE)
    assert begin.next is not None
    assert begin.next.raw == ONE[0]
    assert frame_audit.begin(0) is begin


def test_a_lost_frame_is_a_gap_and_a_loss() -> None:
    """A frame that never came is seen at once, and what was in it is lost."""
    frame_audit = FrameAudit()
    place = walked(frame_audit, frame_audit.begin(0), ONE, THREE)
    assert frame_audit.gaps == 1
    assert audit(place, 0, 1, 2, 3).lost == 2


def test_a_lost_end_is_a_loss() -> None:
    """An accepted event that never came is lost, even at the end."""
    frame_audit = FrameAudit()
    assert audit(walked(frame_audit, frame_audit.begin(0), ONE), 0, 1).lost == 1


def test_doubles_and_disorder() -> None:
    """The same number twice is doubled, a lower one after a higher one of the same sender out of order."""
    frame_audit = FrameAudit()
    place = walked(frame_audit, frame_audit.begin(0), frame(0, 4, (0, 0), (1, 2), (2, 1), (3, 2)))
    found = audit(place, 0, 1, 2)
    assert (found.doubled, found.out_of_order) == (1, 1)
    frame_audit.advance(place, *frame(4, 6, (5, 4), (4, 3)))
    assert frame_audit.disorders == 1


def test_what_was_refused_must_not_come() -> None:
    """A number that came without being accepted is unexpected, unless its outcome was never told."""
    frame_audit = FrameAudit()
    place = walked(frame_audit, frame_audit.begin(0), ONE, TWO)
    assert audit(place, 0, 1).unexpected == 1
    assert audit(place, 0, 1, undecided=(2,)).clean


def test_a_frame_below_the_cursor_is_no_double() -> None:
    """A frame that overlaps what a viewer has, as after a resume, is taken from its cursor on."""
    frame_audit = FrameAudit()
    place = walked(frame_audit, frame_audit.begin(0), ONE, frame(0, 3, (0, 0), (1, 1), (2, 2)), ONE)
    assert audit(place, 0, 1, 2).clean


def test_viewers_part_and_are_told_apart() -> None:
    """A viewer that got other bytes has a branch of its own; the others are not touched by what it missed."""
    frame_audit = FrameAudit()
    begin = frame_audit.begin(0)
    good, bad = walked(frame_audit, begin, ONE, TWO, THREE), walked(frame_audit, begin, ONE, THREE)
    total = FrameAudit.audit([good, good, bad], {0, 1, 2, 3}, set())
    assert (total.viewers, total.delivered, total.lost, total.doubled) == (3, 10, 2, 0)


def test_a_skipped_viewer_lost_what_it_skipped() -> None:
    """After `skipped` and a keyframe a viewer goes on, and what lay between is lost to it alone."""
    frame_audit = FrameAudit()
    begin = frame_audit.begin(0)
    other = walked(frame_audit, begin, ONE, TWO, THREE)
    place = frame_audit.jump(frame_audit.skip(walked(frame_audit, begin, ONE)), 3)
    place = frame_audit.advance(place, *THREE)
    assert audit(place, 0, 1, 2, 3).lost == 2
    assert audit(other, 0, 1, 2, 3).clean


def test_arrivals_are_counted_for_each_viewer() -> None:
    """Each announcement counts once for each viewer it reached, and so does its latency."""
    frame_audit = FrameAudit()
    begin = frame_audit.begin(0)
    for _ in range(3):
        walked(frame_audit, begin, ONE, TWO)
    frame_audit.harvest(viewers=3)
    frame_audit.harvest(viewers=3)
    assert (frame_audit.delivered, frame_audit.latencies[0].count) == (9, 9)


def test_history_stays_as_it_was_told() -> None:
    """A repeated seq, in another frame or after a restart, has to be the same event."""
    frame_audit = FrameAudit()
    again = TWO[1].replace(b'{"type": "delta", "from": 1', b'{"type": "delta", "from": 0')
    place = walked(frame_audit, frame_audit.begin(0), ONE, TWO, (again, again))
    assert frame_audit.rewritten == 0
    walked(frame_audit, place, frame(1, 4, (1, 7), (2, 2), (3, 3)))
    assert frame_audit.rewritten == 2  # another number, and another time on the same number
