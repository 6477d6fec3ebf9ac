"""Which users count for which network address, folded from events: the ledger's own reckoning of limits per address."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["AddressLimits"]


class _Page(Struct):
    """One item: how many users of one address may have some of it, and what those at each address got, by seq."""

    users_max: int
    marks: dict[str, dict[str, set[int]]] = {}


class AddressLimits:
    """Of all items that have such a limit and can still be had."""

    def __init__(self) -> None:
        self._pages: dict[int, _Page] = {}
        self._holds: dict[int, tuple[int, str, str]] = {}  # hold -> item, mark, user

    def begin(self, item: int, users_max: int) -> None:
        """An item can be had from now on; 0 = without a limit."""
        if users_max:
            self._pages[item] = _Page(users_max)

    def end(self, item: int) -> None:
        """Nobody can get any of it any more."""
        if self._pages.pop(item, None) is not None:
            self._holds = {hold: counted for hold, counted in self._holds.items() if counted[0] != item}

    def count(self, item: int, user: str, mark: str, grant: int, hold: int) -> str:
        """Count what a user got at the seq `grant`; gives what is wrong, in words, or nothing."""
        page = self._pages.get(item)
        if page is None:
            return f"item {item} has no limit per address, or is over"
        users = page.marks.setdefault(mark, {})
        users.setdefault(user, set()).add(grant)
        if hold >= 0:
            self._holds[hold] = (item, mark, user)
        if len(users) > page.users_max:
            return f"{len(users)} users of one address have some of item {item}, {page.users_max} may"
        return ""

    def resolve(self, hold: int, *, paid: bool) -> None:
        """A hold is resolved: if it was not paid, it does not count any more."""
        item, mark, user = self._holds.pop(hold, (-1, "", ""))
        if item < 0 or paid:
            return
        users = self._pages[item].marks[mark]
        users[user].discard(hold)
        if not users[user]:
            del users[user]
