"""Pending handshakes: the ones to drop, and that no trace of a handshake stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveroom.gateway.pending import Pending


def pending(*, count_max: int = 3, per_address_max: int = 2, head_bytes_max: int = 100) -> Pending[str]:
    return Pending(count_max=count_max, per_address_max=per_address_max, head_bytes_max=head_bytes_max, after_s=5)


def test_at_the_limit_the_oldest_goes() -> None:
    """A newcomer is never the one, so silent clients only displace each other."""
    book = pending()
    for item, address in (("a", "1"), ("b", "2"), ("c", "3")):
        assert book.add(item, address, 0) is None
    assert book.add("d", "4", 0) == ("a", "too_many")
    assert list(book) == ["b", "c", "d"]


def test_who_has_the_most_gives_way_first() -> None:
    """Then the oldest of that address goes, although others are older."""
    book = pending(count_max=4, per_address_max=3)
    for item, address in (("x", "1"), ("a", "2"), ("b", "2"), ("y", "3")):
        book.add(item, address, 0)
    assert book.add("z", "4", 0) == ("a", "too_many")
    assert list(book) == ["x", "b", "y", "z"]


def test_an_address_displaces_its_own() -> None:
    """The oldest of the same address goes, although others are older."""
    book = pending()
    book.add("x", "1", 0)
    book.add("a", "2", 0)
    book.add("b", "2", 0)
    assert book.add("c", "2", 0) == ("a", "address_waiting")
    assert list(book) == ["x", "b", "c"]


def test_without_an_address_only_the_total_counts() -> None:
    """A trusted proxy brings everybody's handshakes; once the client's address is known it counts for that."""
    book = pending(per_address_max=1, count_max=4)
    for item in ("a", "b", "c"):
        assert book.add(item, "", 0) is None
    assert book.move("a", "1") is None
    assert book.move("c", "1") == ("a", "address_waiting")
    assert list(book) == ["b", "c"]


def test_the_bytes_of_unfinished_heads_are_bounded() -> None:
    """The oldest that holds any goes first, and with it its bytes."""
    book = pending()
    for item in ("a", "b", "c"):
        book.add(item, item, 0)
    assert list(book.hold("b", 60)) == []
    assert list(book.hold("a", 30)) == []
    assert list(book.hold("c", 20)) == ["b"]
    assert (list(book), book.head_bytes) == (["a", "c"], 50)


def test_each_is_due_after_its_time() -> None:
    """Counted from its arrival, the oldest first."""
    book = pending()
    book.add("a", "1", 0)
    book.add("b", "1", 1)
    assert list(book.due(4.9)) == []
    assert list(book.due(5)) == ["a"]
    assert list(book.due(9)) == ["b"]


@given(st.lists(st.tuples(st.sampled_from(("add", "discard", "hold", "due", "move")), st.integers(0, 9), st.integers(0, 4), st.integers(1, 60))))
def test_no_limit_is_ever_passed_and_nothing_stays(steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever happens in whatever order; when all are gone the book is empty."""
    book: Pending[int] = Pending(count_max=4, per_address_max=2, head_bytes_max=100, after_s=5)
    addresses: dict[int, str] = {}
    made, now = 0, 0
    for kind, which, address, size in steps:
        waiting = list(book)
        chosen = waiting[which % len(waiting)] if waiting else None
        if kind == "add":
            made += 1
            addresses[made] = str(address or "")
            book.add(made, addresses[made], now)
        elif kind == "due":
            now += size % 4
            list(book.due(now))
        elif chosen is not None and kind == "move" and not addresses[chosen]:
            addresses[chosen] = str(address or "")
            book.move(chosen, addresses[chosen])
        elif chosen is not None and kind == "hold":
            list(book.hold(chosen, size))
        elif chosen is not None:
            assert book.discard(chosen)
            assert not book.discard(chosen)
        own = [addresses[item] for item in book if addresses[item]]
        counts = [sum(addresses[item] == one for item in book) for one in set(addresses.values())]
        assert book._most == max(counts, default=0)
        assert len(book) <= 4
        assert all(own.count(one) <= 2 for one in own)
        assert 0 <= book.head_bytes <= 100
    for item in list(book):
        book.discard(item)
    assert (len(book), book.head_bytes, book._by_address, book._by_count, book._heads) == (0, 0, {}, {}, {})
