"""Pending handshakes. Their number is bounded in total and per address, and so are the bytes of their unfinished heads."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["Pending"]

T = TypeVar("T", bound=Hashable)


class Pending(Generic[T]):
    """Items in their order of arrival. Beyond the limit, each new item displaces the oldest item of the address with the most items.

    So a client with many silent connections displaces its own, and neither new connections nor those of other addresses.
    """

    def __init__(self, *, count_max: int, per_address_max: int, head_bytes_max: int, after_s: float) -> None:
        self._count_max = count_max
        self._per_address_max = per_address_max
        self._head_bytes_max = head_bytes_max
        self._after_s = after_s
        self._items: dict[T, tuple[str, float]] = {}  # item -> its address and its deadline
        self._by_address: dict[str, dict[T, None]] = {}
        self._by_count: dict[int, dict[str, None]] = {}  # number of items -> the addresses with that number
        self._most = 0  # the largest of these numbers
        self._heads: dict[T, int] = {}  # item -> bytes of its unfinished head
        self.head_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._items))

    def add(self, item: T, address: str, now: float) -> tuple[T, str] | None:
        """Add an item. Returns the item that it displaces and the name of the limit. An empty `address` is unknown, and has no limit."""
        crowded = self._crowded(address)
        if crowded is None and len(self._items) >= self._count_max:
            heaviest = next(iter(self._by_count[self._most]))
            crowded = next(iter(self._by_address[heaviest])), "too_many"
        if crowded is not None:
            self.discard(crowded[0])
        self._items[item] = (address, now + self._after_s)
        self._count(item, address)
        return crowded

    def move(self, item: T, address: str) -> tuple[T, str] | None:
        """Count an item for another address, which became known only now. Returns the same as `add`."""
        crowded = self._crowded(address)
        if crowded is not None:
            self.discard(crowded[0])
        before, due = self._items[item]
        self._uncount(item, before)
        self._items[item] = (address, due)
        self._count(item, address)
        return crowded

    def _crowded(self, address: str) -> tuple[T, str] | None:
        own = self._by_address.get(address, ()) if address else ()
        return (next(iter(own)), "address_waiting") if len(own) >= self._per_address_max else None

    def _count(self, item: T, address: str) -> None:
        own = self._by_address.get(address)
        if own is None:
            own = self._by_address[address] = {}
        own[item] = None
        count = len(own)
        if count > 1:
            self._leave_count(address, count - 1)
        self._by_count.setdefault(count, {})[address] = None
        self._most = max(self._most, count)

    def _uncount(self, item: T, address: str) -> None:
        own = self._by_address[address]
        count = len(own)
        del own[item]
        self._leave_count(address, count)
        if own:
            self._by_count.setdefault(count - 1, {})[address] = None
        else:
            del self._by_address[address]
        if self._most not in self._by_count:
            self._most = count - 1  # it was the only address with that number

    def _leave_count(self, address: str, count: int) -> None:
        same = self._by_count[count]
        del same[address]
        if not same:
            del self._by_count[count]

    def hold(self, item: T, size: int) -> Iterator[T]:
        """Count bytes of an item's unfinished head. Yields the items that these bytes displace, oldest first."""
        self._heads[item] = self._heads.get(item, 0) + size
        self.head_bytes += size
        while self.head_bytes > self._head_bytes_max:
            oldest = next(iter(self._heads))
            self.discard(oldest)
            yield oldest

    def discard(self, item: T) -> bool:
        """Remove an item, and return whether it was present."""
        found = self._items.pop(item, None)
        if found is None:
            return False
        self._uncount(item, found[0])
        if self._heads:
            self.head_bytes -= self._heads.pop(item, 0)
        return True

    def due(self, now: float) -> Iterator[T]:
        """Take out those whose time is over."""
        while self._items:
            item, (_, due) = next(iter(self._items.items()))
            if due > now:
                return
            self.discard(item)
            yield item
