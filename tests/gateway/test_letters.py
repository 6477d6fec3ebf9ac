"""Personal events that are kept for those who come back."""

from liveroom.gateway.letters import LETTERS_MAX, Letters


def test_each_user_gets_its_own_from_a_seq_on() -> None:
    """In order, nobody else's, and none twice when the past is read again."""
    letters = Letters()
    for user, seq in (("a", 1), ("b", 2), ("a", 3), ("a", 3), ("a", 1)):
        letters.add(user, seq, b"%d " % seq)
    assert letters.since("a", 0) == b"1 3 "
    assert letters.since("a", 2) == b"3 "
    assert letters.since("b", 3) == letters.since("c", 0) == b""


def test_the_oldest_go_first() -> None:
    """The bound holds for all users together."""
    letters = Letters()
    letters.add("a", 0, b"a")
    for seq in range(1, LETTERS_MAX + 1):
        letters.add("b", seq, b"b")
    assert letters.since("a", 0) == b""
    assert len(letters.since("b", 0)) == LETTERS_MAX
    letters.clear()
    assert letters.since("b", 0) == b""
