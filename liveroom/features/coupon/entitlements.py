"""Codes of coupons, as their users own them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from typing import Any

from msgspec import Struct

from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponIssued, CouponRedeemed, CouponReleased, CouponTerms
from liveroom.features.entitlements import EntitlementFold

__all__ = ["ClaimedCoupon", "CouponEntitlements", "CouponWorth", "OwnedCoupon"]


class OwnedCoupon(Struct, frozen=True, omit_defaults=True):
    """An unexpired code of a coupon; `order` is the order that uses it, empty while the code is unused."""

    coupon: int
    title: str
    terms: CouponTerms
    code: str
    valid_until_ms: int
    order: str = ""


class OwnedCoupons(Struct):
    """One user's codes."""

    coupons: tuple[OwnedCoupon, ...] = ()


class AddedCoupon(Struct):
    """The claimed coupon, with its worth."""

    coupon: OwnedCoupon | None = None


class CouponWorth(Struct, frozen=True, array_like=True):
    """The value of a coupon's codes, also for a coupon without claims."""

    coupon: int
    title: str
    terms: CouponTerms
    valid_until_ms: int


class ClaimedCoupon(Struct, frozen=True, array_like=True, gc=False):
    """A user's code of a coupon, and the order that uses it ("" = none)."""

    coupon: int
    user: str
    code: str
    order: str = ""


class CouponRows(Struct):
    """All coupons and all users' codes."""

    coupons: tuple[CouponWorth, ...] = ()
    codes: tuple[ClaimedCoupon, ...] = ()  # each coupon's codes in the order of their claims


class _Coupon:
    """The terms of a coupon, and its codes by user, each as (code, the order that uses it)."""

    __slots__ = ("codes", "terms", "title", "valid_until_ms")

    def __init__(self, title: str, terms: CouponTerms, valid_until_ms: int) -> None:
        self.title = title
        self.terms = terms
        self.valid_until_ms = valid_until_ms
        self.codes: dict[str, tuple[tuple[str, str], ...]] = {}

    def owned(self, number: int, code: str, order: str) -> OwnedCoupon:
        return OwnedCoupon(number, self.title, self.terms, code, self.valid_until_ms, order)


class CouponEntitlements(EntitlementFold):
    """The codes by coupon, until it expires. The rules bound coupons and codes."""

    __slots__ = ("_coupons",)
    rows = CouponRows
    owned = OwnedCoupons
    added = AddedCoupon

    def __init__(self, owners: set[str]) -> None:
        super().__init__(owners)
        self._coupons: dict[int, _Coupon] = {}

    def load(self, rows: CouponRows) -> None:
        for worth in rows.coupons:
            self._coupons[worth.coupon] = _Coupon(worth.title, worth.terms, worth.valid_until_ms)
        for claim in rows.codes:
            self._append(self._coupons[claim.coupon], claim.user, claim.code, claim.order)

    def adopt(self, user: str, owned: OwnedCoupons) -> None:
        for one in owned.coupons:
            self._append(self._known(one), user, one.code, one.order)

    def learn(self, added: Mapping[str, Any]) -> None:
        if "coupon" in added:
            self._known(added["coupon"])

    def owned_by(self, user: str) -> dict[str, list[Any] | dict[Any, Any]]:
        coupons = [coupon.owned(n, *code) for n, coupon in self._coupons.items() if user in coupon.codes for code in coupon.codes[user]]
        coupons.sort(key=_number)
        return {"coupons": coupons}

    def users(self) -> Iterator[Collection[str]]:
        for coupon in self._coupons.values():
            yield coupon.codes

    def _known(self, one: OwnedCoupon) -> _Coupon:
        coupon = self._coupons.get(one.coupon)
        if coupon is None:
            coupon = self._coupons[one.coupon] = _Coupon(one.title, one.terms, one.valid_until_ms)
        return coupon

    def _append(self, coupon: _Coupon, user: str, code: str, order: str) -> None:
        coupon.codes[user] = (*coupon.codes.get(user, ()), (code, order))
        self._owners.add(user)

    def _issued(self, seq: int, event: CouponIssued) -> None:
        if seq not in self._coupons:  # a client may have learned of it by a claim
            self._coupons[seq] = _Coupon(event.title, event.terms, event.valid_until_ms)

    def _claimed(self, seq: int, event: CouponClaimed) -> None:
        coupon = self._coupons.get(event.coupon)
        if coupon is not None:
            self._append(coupon, event.user, event.code, "")

    def _redeemed(self, seq: int, event: CouponRedeemed) -> None:
        self._use(event.coupon, event.user, event.code, event.order)

    def _released(self, seq: int, event: CouponReleased) -> None:
        self._use(event.coupon, event.user, event.code, "")

    def _use(self, number: int, user: str, code: str, order: str) -> None:
        coupon = self._coupons.get(number)
        if coupon is not None and user in coupon.codes:  # otherwise a client's frame has omitted the code
            coupon.codes[user] = tuple((one, order if one == code else used) for one, used in coupon.codes[user])

    def _expired(self, seq: int, event: CouponExpired) -> int:
        coupon = self._coupons.pop(event.coupon, None)
        return 0 if coupon is None else len(coupon.codes)

    def _claim(self, event: CouponClaimed) -> dict[str, Any]:
        return {"coupon": self._coupons[event.coupon].owned(event.coupon, event.code, "")}

    changes = {CouponIssued: _issued, CouponClaimed: _claimed, CouponRedeemed: _redeemed, CouponReleased: _released, CouponExpired: _expired}
    additions = {CouponClaimed: _claim}


_number = attrgetter("coupon")
