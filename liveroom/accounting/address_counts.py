"""The ledger's own count of users per network address, folded from events."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["AddressCounts"]


class _Page(Struct):
    """One item: how many users of one address may get units, and the users of each address with the seqs of their grants."""

    users_max: int
    address_hashes: dict[str, dict[str, set[int]]] = {}


class AddressCounts:
    """The limits per address of all items that are still available."""

    def __init__(self) -> None:
        self._pages: dict[int, _Page] = {}
        self._holds: dict[int, tuple[int, str, str]] = {}  # hold -> item, address hash, user

    def begin(self, item: int, users_max: int) -> None:
        """Begin the limit of an item; 0 means no limit."""
        if users_max:
            self._pages[item] = _Page(users_max)

    def end(self, item: int) -> None:
        """End the limit of an item that is over."""
        if self._pages.pop(item, None) is not None:
            self._holds = {hold: counted for hold, counted in self._holds.items() if counted[0] != item}

    def count(self, item: int, user: str, address_hash: str, grant: int, hold: int) -> str:
        """Count a grant at the seq `grant`. Returns an error text, or an empty one."""
        page = self._pages.get(item)
        if page is None:
            return f"item {item} has no limit per address, or is over"
        users = page.address_hashes.setdefault(address_hash, {})
        users.setdefault(user, set()).add(grant)
        if hold >= 0:
            self._holds[hold] = (item, address_hash, user)
        if len(users) > page.users_max:
            return f"{len(users)} users of one address have some of item {item}, {page.users_max} may"
        return ""

    def resolve(self, hold: int, *, paid: bool) -> None:
        """Resolve a hold; an unpaid one no longer counts."""
        item, address_hash, user = self._holds.pop(hold, (-1, "", ""))
        if item < 0 or paid:
            return
        users = self._pages[item].address_hashes[address_hash]
        users[user].discard(hold)
        if not users[user]:
            del users[user]
