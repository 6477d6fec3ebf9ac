"""The directory: live rooms, most viewers first, found by usual search texts, and never more than its limit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.console import directory as directory_module
from liveroom.console.directory import Directory
from liveroom.console.view import RoomView
from liveroom.engine.clock import SteadyClock, passed_ms, wall_clock_ms
from liveroom.features.audience.messages import AudienceCounted, ReportAudience
from liveroom.features.lifecycle.messages import RoomClosed, RoomOpened
from liveroom.features.showcase.messages import Product, ProductPinned
from liveroom.journal.partition import partition_of
from liveroom.messages.errors import BadMessage
from liveroom.messages.fields import Role
from liveroom.messages.room_rules import RoomRules
from liveroom.protocol.events import Event
from liveroom.protocol.frames import RoomDetail
from liveroom.protocol.records import Record, Request, RoomSpan, Sender
from liveroom.telemetry.metrics import Metrics
from tests.console.live import MODERATOR, PLATFORM, Live, SeenJournal, config_of, engine_on, serve, serve_all, token, until

RULES = RoomRules(1_000, 5, 20, 30_000)


def opened(title: str = "title", anchor: str = "anna") -> RoomOpened:
    """A room's first event."""
    return RoomOpened(title, anchor, "e", RULES)


class Fold:
    """A directory and the next seq of each room."""

    def __init__(self, rooms_max: int = 1_000) -> None:
        self.metrics = Metrics()
        self.directory = Directory(rooms_max, 500, 50, self.metrics)
        self._seqs: dict[str, int] = {}
        self.now = 0.0

    def happen(self, room: str, *events: Event, time_ms: int = 1) -> list[str]:
        """Let events happen in one record."""
        seq = self._seqs.get(room, 0)
        self._seqs[room] = seq + len(events)
        return self.directory.apply(0, Record(1, 0, 0, 0, 0, time_ms, rooms={room: RoomSpan(seq, events)}))

    def names(self, query: str = "", is_open: bool | None = True, limit: int = 1_000, after: str = "") -> list[str]:
        """The rooms of a page."""
        return [view.keyframe.room for view in self.directory.page(query, is_open, limit, after, self.now)[0]]

    def pages(self, is_open: bool | None = True, limit: int = 5) -> Iterator[list[str]]:
        """One page after the other."""
        after: str | None = ""
        while after is not None:
            views, after = self.directory.page("", is_open, limit, after, self.now)
            yield [view.keyframe.room for view in views]


def watched(viewers: int) -> AudienceCounted:
    """A count of viewers."""
    return AudienceCounted(viewers, viewers, viewers)


def test_a_room_that_cannot_be_folded_is_asked_for_and_no_other_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in one room's events forgets that room alone, in every order; its detail brings it back."""
    fold = Fold()
    for room in "abc":
        fold.happen(room, opened())
    real = RoomView.apply

    def broken(view: RoomView, span: RoomSpan, time_ms: int) -> None:
        real(view, span, time_ms)
        if any(isinstance(event, AudienceCounted) for event in span.events) and view.keyframe.room == "b":
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(RoomView, "apply", broken)
    record = Record(1, 0, 0, 0, 0, 1, rooms={room: RoomSpan(1, (watched(7),)) for room in "abc"})
    keyframe = fold.directory.find("b").keyframe  # type: ignore[union-attr]
    assert fold.directory.apply(0, record) == ["b"]
    assert fold.names() == ["a", "c"]
    assert fold.metrics.registry.get_sample_value("liveroom_errors_isolated_total", {"place": "console_room"}) == 1
    fold.directory.apply(0, Record(1, 0, 0, 0, 0, 1, details=(RoomDetail(keyframe),)))
    assert fold.names() == ["a", "c", "b"]


def test_rooms_with_more_viewers_come_first() -> None:
    """The order follows the counts, and the room id where they are equal."""
    fold = Fold()
    for room in "cab":
        fold.happen(room, opened())
    assert fold.names() == ["a", "b", "c"]
    fold.happen("c", watched(5))
    fold.happen("b", watched(9))
    fold.now += 1
    assert fold.names() == ["b", "c", "a"]
    fold.happen("b", watched(1))
    fold.now += 1
    assert fold.names() == ["c", "b", "a"]


def test_closed_rooms_are_shown_when_asked_for() -> None:
    """Closing takes a room off the live ones; opening again brings it back."""
    fold = Fold()
    for room in "ab":
        fold.happen(room, opened())
    fold.happen("a", RoomClosed())
    assert (fold.names(), fold.names(is_open=False), fold.names(is_open=None)) == (["b"], ["a"], ["b", "a"])
    fold.happen("a", opened())
    assert (fold.names(), fold.names(is_open=False)) == (["a", "b"], [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("TEA", ["r-one"]),
        ("茶", ["r-two"]),
        ("ann", ["r-one"]),
        ("Ｒ-ＴＷＯ", ["r-two"]),
        ("straße", ["r-one"]),
        ("STRASSE", ["r-one"]),
        ("nothing", []),
        ("r-", ["r-one", "r-two"]),
        ("one\nTea", []),
    ],
)
def test_a_search_looks_at_title_anchor_id_and_pinned_product(query: str, found: list[str]) -> None:
    """Texts are compared without case and width; old texts are not found."""
    fold = Fold()
    fold.happen("r-one", opened("Tea time", "anna"), ProductPinned(Product("p", "Straße cup", 1)))
    fold.happen("r-two", opened("nothing yet", "bob"))
    fold.happen("r-two", RoomClosed())
    fold.happen("r-two", opened("喝茶", "bob"))
    assert fold.names(query) == found


def test_pages_cover_every_room_once() -> None:
    """Following `next` gives every room once, in order, for any page size, while others change behind it."""
    rng = random.Random(7)
    fold = Fold()
    for i in range(57):
        fold.happen(f"r{i}", opened(), watched(rng.randrange(4)))
    for limit in (1, 2, 7, 56, 57, 58):
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            views, after = fold.directory.page("", True, limit, after, 0.0)
            assert len(views) <= limit
            seen += [view.keyframe.room for view in views]
        assert seen == fold.names()


def test_pages_show_every_room_once_while_numbers_move() -> None:
    """The pages of one walk are cut from one order, however the counts of viewers change between them."""
    rng = random.Random(9)
    fold = Fold()
    names = [f"r{i:02}" for i in range(40)]
    for name in names:
        fold.happen(name, opened(), watched(rng.randrange(50)))
    seen: list[str] = []
    for page in fold.pages():
        seen += page
        for name in names:
            fold.happen(name, watched(rng.randrange(50)))
        fold.now += 10
    assert sorted(seen) == names


def test_a_room_that_closes_is_left_out_of_the_next_page() -> None:
    """A page shows the state at its request: a room that closed meanwhile is not shown as open."""
    fold = Fold()
    for i in range(10):
        fold.happen(f"r{i}", opened())
    pages = fold.pages()
    assert next(pages) == ["r0", "r1", "r2", "r3", "r4"]
    fold.happen("r6", RoomClosed())
    assert next(pages) == ["r5", "r7", "r8", "r9"]
    assert fold.names() == ["r0", "r1", "r2", "r3", "r4", "r5", "r7", "r8", "r9"]


def test_a_room_is_listed_as_soon_as_it_is_open() -> None:
    """A first page shows every room that opened before it was asked for, and the newest counts a second later."""
    fold = Fold()
    fold.happen("a", opened(), watched(5))
    assert fold.names() == ["a"]
    fold.happen("b", opened())
    assert fold.names() == ["a", "b"]
    fold.happen("b", watched(9))
    fold.now += 1
    assert fold.names() == ["b", "a"]


def test_pages_go_on_where_they_were_when_their_order_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that are kept for later pages are bounded in time and in entries; a later page then goes on behind the room of its cursor."""
    monkeypatch.setattr(directory_module, "LISTING_ENTRIES_MAX", 35)
    fold = Fold()
    for i in range(10):
        fold.happen(f"r{i}", opened())
    pages = fold.pages()
    assert next(pages) == ["r0", "r1", "r2", "r3", "r4"]
    for _ in range(5):
        fold.now += 2
        fold.names()
    assert fold.directory._listed <= 35
    assert next(pages) == ["r5", "r6", "r7", "r8", "r9"]
    fold.now += directory_module.LISTING_KEPT_S
    fold.names()
    assert fold.directory._listed == 10


def test_a_search_looks_at_a_bounded_number_of_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends early and says where to go on; all pages together find everything."""
    monkeypatch.setattr(directory_module, "SCAN_ROOMS_MAX", 10)
    fold = Fold()
    for i in range(35):
        fold.happen(f"r{i:02}", opened("x" if i % 9 else "wanted"))
    found: list[str] = []
    pages = 0
    after: str | None = ""
    while after is not None:
        views, after = fold.directory.page("wanted", True, 100, after, 0.0)
        found += [view.keyframe.room for view in views]
        pages += 1
    assert (found, pages) == (["r00", "r09", "r18", "r27"], 4)


@pytest.mark.parametrize("after", ["x", "!!!", "bnVsbA", "W10", "WzEsMiwzXQ", "\udcff", "é"])
def test_a_place_that_is_none_of_ours_is_refused(after: str) -> None:
    """`after` is checked like any other input."""
    with pytest.raises(BadMessage) as refused:
        Fold().directory.page("", True, 10, after, 0.0)
    assert (refused.value.code, refused.value.field) == ("bad_value", "after")


def test_the_room_closed_longest_ago_is_forgotten_first() -> None:
    """The directory never holds more than `rooms_max`; live rooms stay as long as any closed one is left."""
    fold = Fold(rooms_max=4)
    for room in "abcd":
        fold.happen(room, opened())
    fold.happen("c", RoomClosed())
    fold.happen("b", RoomClosed())
    for room in "ef":
        fold.happen(room, opened())
    assert fold.names(is_open=None) == ["a", "d", "e", "f"]
    fold.happen("g", opened())
    assert fold.names(is_open=None) == ["d", "e", "f", "g"]
    assert fold.happen("a", watched(3)) == []  # forgotten: nothing is made up
    assert len(fold.directory) == 4
    assert fold.happen("b", opened()) == ["b"]  # its story is missing: its detail is asked for


def test_a_partition_can_begin_anew() -> None:
    """A partition's rooms are replaced, those of others stay, and the bound holds."""
    fold = Fold(rooms_max=3)
    for room in "ab":
        fold.happen(room, opened())
    details = tuple(RoomDetail(view.keyframe) for view in fold.directory.page("", True, 10, "", 0.0)[0])
    other = Directory(3, 500, 50, Metrics())
    other.begin(0, details)
    other.begin(
        1, [RoomDetail(details[0].keyframe.__class__(room="z", stream_id="e", seq=1, time_ms=1, title="t", anchor="a", open=False, opened_ms=1))]
    )
    other.begin(0, details[:1])
    assert [view.keyframe.room for view in other.page("", None, 10, "", 0.0)[0]] == ["a", "z"]
    other.begin(2, [RoomDetail(keyframe) for keyframe in (fold_keyframe(name) for name in "xyw")])
    assert len(other) == 3
    assert other.find("z") is None


def test_a_detail_may_continue_the_one_before_it() -> None:
    """One that was too large for a record: the parts together are the room; of a room that is not known or has moved on they say nothing."""
    fold = Fold()
    fold.happen("a", opened())
    keyframe = fold.directory.find("a").keyframe  # type: ignore[union-attr]
    first, second = Product("p1", "One", 1), Product("p2", "Two", 2)

    def tell(detail: RoomDetail) -> None:
        fold.directory.apply(0, Record(1, 0, 0, 0, 0, 1, details=(detail,)))

    def known() -> tuple[list[str], dict[str, int], tuple[str, ...]]:
        view = fold.directory.find("a")
        assert view is not None
        return [product.id for product in view.details["products"]], view.details["banned"], view.details["banned_words"]

    tell(RoomDetail(keyframe, banned={"u1": 5}, products=(first,)))
    tell(RoomDetail(keyframe, banned={"u2": 6}, products=(second,), banned_words=("w1",), continues=True))
    tell(RoomDetail(keyframe, banned_words=("w2",), continues=True))
    assert known() == (["p1", "p2"], {"u1": 5, "u2": 6}, ("w1", "w2"))
    fold.happen("a", watched(1))
    tell(RoomDetail(keyframe, banned={"u3": 7}, continues=True))
    tell(RoomDetail(replace(keyframe, room="b"), continues=True))
    assert known() == (["p1", "p2"], {"u1": 5, "u2": 6}, ("w1", "w2"))
    assert fold.directory.find("b") is None


def fold_keyframe(room: str) -> Any:
    """The keyframe of a room that was just opened."""
    fold = Fold()
    fold.happen(room, opened())
    view = fold.directory.find(room)
    assert view is not None
    return view.keyframe


async def open_rooms(live: Live, count: int) -> None:
    """Open rooms r0, r1, ... with as many viewers as their number."""
    for i in range(count):
        await live.do("open_room", {"title": f"Room number {i}"}, token=PLATFORM, room=f"r{i}")
        report = Request(f"report-{i}", f"r{i}", Sender("gateway", "gateway", backend=True), ReportAudience("g1", i))
        await live.journal.send_commands(partition_of(f"r{i}", 2), [report])
    await until(lambda: all((view := live.console._directory.find(f"r{i}")) and view.keyframe.viewers == i for i in range(count)))


async def test_the_directory_is_searched_and_paged_over_http(live: Live) -> None:
    """`q`, `open`, `limit` and `after` work together."""
    await open_rooms(live, 7)
    page = (await live.get("/v1/rooms", query={"limit": "3"})).json
    assert [(room["room"], room["viewers"]) for room in page["rooms"]] == [("r6", 6), ("r5", 5), ("r4", 4)]
    rest = (await live.get("/v1/rooms", query={"limit": "10", "after": page["next"]})).json
    assert [room["room"] for room in rest["rooms"]] == ["r3", "r2", "r1", "r0"]
    assert rest["next"] is None
    assert [room["room"] for room in (await live.get("/v1/rooms", query={"q": "NUMBER 5"})).json["rooms"]] == ["r5"]
    await live.do("close_room", token=PLATFORM, room="r5")
    assert [room["room"] for room in (await live.get("/v1/rooms", query={"open": "false"})).json["rooms"]] == ["r5"]
    assert len((await live.get("/v1/rooms", query={"open": "any"})).json["rooms"]) == 7


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"limit": "0"}, "out_of_range", "limit"),
        ({"limit": "1001"}, "out_of_range", "limit"),
        ({"limit": "9" * 5_000}, "out_of_range", "limit"),
        ({"limit": "-1"}, "wrong_type", "limit"),
        ({"limit": "١"}, "wrong_type", "limit"),
        ({"limit": ""}, "wrong_type", "limit"),
        ({"open": "yes"}, "bad_value", "open"),
        ({"after": "here"}, "bad_value", "after"),
        ({"q": "x" * 101}, "too_long", "q"),
        ({"sort": "likes"}, "unknown_field", "sort"),
    ],
)
async def test_a_bad_parameter_is_named(live: Live, query: dict[str, str], code: str, field: str) -> None:
    """Every parameter of the directory is checked, and unknown ones are not passed over."""
    answer = await live.get("/v1/rooms", query=query)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, code, field)


async def test_a_room_that_was_never_opened_is_not_found(live: Live) -> None:
    """Every read of it is a 404."""
    for path in ("/v1/rooms/nowhere", "/v1/rooms/nowhere/showcase", "/v1/rooms/nowhere/questions"):
        answer = await live.get(path)
        assert (answer.status, answer.json["code"]) == (404, "room_not_found")
    answer = await live.get("/v1/rooms/nowhere/moderation", token=PLATFORM)
    assert (answer.status, answer.json["code"]) == (404, "room_not_found")


async def test_a_ban_keeps_a_moderator_from_what_moderators_read(live: Live) -> None:
    """A banned user reads neither the lists nor the accounts, until the ban ends by the room's clock; the platform always does."""
    await live.do("open_room", {"title": "t"})
    await live.do("ban_user", {"user": "mo", "duration_ms": 60_000})
    await live.do("ban_user", {"user": "x", "duration_ms": 60_000})
    await live.do("ban_user", {"user": "shop", "duration_ms": 60_000})
    answer = await live.get("/v1/rooms/r1/moderation", token=MODERATOR)
    assert (answer.status, answer.json["code"]) == (403, "banned")
    assert 0 < answer.json["retry_after_ms"] <= 60_000
    answer = await live.get("/v1/rooms/r1/ledger", token=token("x", Role.anchor))
    assert (answer.status, answer.json["code"]) == (403, "banned")
    assert (await live.get("/v1/rooms/r1/moderation", token=PLATFORM)).status == 200
    await live.do("unban_user", {"user": "mo"})
    assert (await live.get("/v1/rooms/r1/moderation", token=MODERATOR)).status == 200


async def test_lists_of_moderation_go_by_the_rooms_clock() -> None:
    """The room's clock may be an hour behind the console's: users muted there are in the list."""
    config = config_of()
    journal = SeenJournal(config.journal)
    clock = SteadyClock(lambda: wall_clock_ms() - 3_600_000, passed_ms)
    async with engine_on(journal, config, clock=clock), serve(config, journal=journal) as live:
        await live.do("open_room", {"title": "t"})
        await live.do("mute_user", {"user": "m", "duration_ms": 60_000})
        answer = await live.get("/v1/rooms/r1/moderation", token=PLATFORM)
        assert list(answer.json["muted"]) == ["m"]
    await journal.close()


async def test_lists_of_moderation_are_for_those_who_moderate(live: Live) -> None:
    """Moderators, the anchor and the platform read them; viewers and strangers do not; nothing keeps a copy."""
    await live.do("open_room", {"title": "t"})
    await live.do("mute_user", {"user": "m", "duration_ms": 60_000})
    await live.do("ban_user", {"user": "b", "duration_ms": 60_000})
    await live.do("ban_user", {"user": "gone", "duration_ms": 60_000})
    await live.do("unban_user", {"user": "gone"})
    await live.do("set_banned_words", {"words": ["bad", "worse"]})
    for role in (Role.moderator, Role.anchor):
        answer = await live.get("/v1/rooms/r1/moderation", token=token("x", role))
        assert (list(answer.json["muted"]), list(answer.json["banned"]), answer.json["banned_words"]) == (["m"], ["b"], ["bad", "worse"])
        assert answer.headers["Cache-Control"] == "no-store"
    assert (await live.get("/v1/rooms/r1/moderation", token=PLATFORM)).status == 200
    assert (await live.get("/v1/rooms/r1/moderation")).status == 401
    assert (await live.get("/v1/rooms/r1/moderation", token=token("v", Role.viewer))).status == 403
    assert (await live.get("/v1/rooms/r1/moderation", token=token("a", Role.anchor, "r2"))).json["code"] == "wrong_room"


async def test_a_forgotten_room_that_opens_again_is_whole() -> None:
    """Its detail is asked for, so that its showcase is complete."""
    async with serve_all(config_of(rooms_max=2)) as live:
        product = {"id": "p", "title": "P", "price_fen": 1}
        await live.do("open_room", {"title": "t"}, token=PLATFORM, room="old")
        await live.do("add_product", {"product": product}, token=PLATFORM, room="old")
        await live.do("close_room", token=PLATFORM, room="old")
        for room in ("a", "b"):
            await live.do("open_room", {"title": "t"}, token=PLATFORM, room=room)
        assert (await live.get("/v1/rooms/old")).status == 404
        await live.do("close_room", token=PLATFORM, room="a")
        await live.do("open_room", {"title": "again"}, token=PLATFORM, room="old")
        await until(lambda: live.console._directory.find("old") is not None)
        assert (await live.get("/v1/rooms/old/showcase")).json["products"] == [product]
