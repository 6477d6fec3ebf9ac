"""The showcase: products, the pinned one, requests to see one tried on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from liveroom.features.showcase.messages import (
    AddProduct,
    PinProduct,
    Product,
    ProductAdded,
    ProductPinned,
    ProductRemoved,
    ProductUnpinned,
    RemoveProduct,
    RequestTryOn,
    TryOnRequested,
    UnpinProduct,
)
from liveroom.protocol.commands import Command
from liveroom.rooms.room import Decided
from tests.features.play import ANCHOR, MODERATOR, SHIRT, SHOES, VERA, VICTOR, Play

CHEAPER = replace(SHIRT, price_fen=9_900)


def test_the_version_is_the_seq_of_the_last_change() -> None:
    """Adding, replacing and removing change it; pinning does not. The result names it."""
    play = Play()
    for command in (AddProduct(SHIRT), AddProduct(SHOES), AddProduct(CHEAPER), RemoveProduct("shoes")):
        assert play.does(ANCHOR, command) == {"version": play.room.seq - 1}
        assert play.keyframe.showcase_version == play.room.seq - 1
    version = play.keyframe.showcase_version
    play.does(MODERATOR, PinProduct("shirt"))
    assert (play.keyframe.showcase_version, play.keyframe.showcase_count) == (version, 1)


def test_products_stay_in_the_order_they_were_added() -> None:
    """Replacing one leaves it in its place; the same product again is no event."""
    play = Play()
    play.adds(SHIRT, SHOES)
    play.does(ANCHOR, AddProduct(CHEAPER))
    assert play.detail.products == (CHEAPER, SHOES)
    assert play.events(ANCHOR, AddProduct(SHOES)) == ()


def test_the_showcase_has_a_limit() -> None:
    """One more product than the setting is refused, replacing one is not."""
    play = Play(products_max=1)
    play.adds(SHIRT)
    assert play.refused(ANCHOR, AddProduct(SHOES)).code == "limit_reached"
    play.does(ANCHOR, AddProduct(CHEAPER))


def test_one_product_is_pinned_at_a_time() -> None:
    """A pin takes the place of the one before; the same pin again is no event."""
    play = Play()
    play.adds(SHIRT, SHOES)
    play.does(MODERATOR, PinProduct("shirt"))
    assert play.events(MODERATOR, PinProduct("shoes")) == (ProductPinned(SHOES),)
    assert play.events(MODERATOR, PinProduct("shoes")) == ()
    assert play.keyframe.pinned == SHOES
    play.does(MODERATOR, UnpinProduct())
    assert play.keyframe.pinned is None
    assert play.refused(MODERATOR, UnpinProduct()).code == "not_pinned"


def test_removing_the_pinned_product_unpins_it_first() -> None:
    """Two events, so that no viewer ever sees a product explained that is not there."""
    play = Play()
    play.adds(SHIRT)
    play.does(MODERATOR, PinProduct("shirt"))
    decision = play.tries(ANCHOR, RemoveProduct("shirt"))
    assert decision == Decided((ProductUnpinned("shirt"), ProductRemoved("shirt", 0)), {"version": play.room.seq - 1})
    assert (play.keyframe.pinned, play.keyframe.showcase_version) == (None, play.room.seq - 1)


def test_replacing_the_pinned_product_pins_it_anew() -> None:
    """Two events, so that viewers who hold only the pinned product see its new price."""
    play = Play()
    play.adds(SHIRT)
    play.does(MODERATOR, PinProduct("shirt"))
    assert play.events(ANCHOR, AddProduct(CHEAPER)) == (ProductAdded(CHEAPER, 1), ProductPinned(CHEAPER))
    assert play.keyframe.pinned == CHEAPER


@pytest.mark.parametrize("command", [PinProduct("hat"), RemoveProduct("hat"), RequestTryOn("hat")])
def test_what_is_not_in_the_showcase_is_not_found(command: Command) -> None:
    """Refused as `product_not_found`, naming the field."""
    refusal = Play().refused(ANCHOR, command)
    assert (refusal.code, refusal.field) == ("product_not_found", "product")


def test_a_try_on_counts_once_per_user_and_product() -> None:
    """The event holds the count so far; a second request for the same is `already_requested`."""
    play = Play()
    play.adds(SHIRT, SHOES)
    play.does(VERA, RequestTryOn("shirt"))
    assert play.events(VICTOR, RequestTryOn("shirt")) == (TryOnRequested("shirt", "victor", 2),)
    assert play.refused(VERA, RequestTryOn("shirt")).code == "already_requested"
    play.does(VERA, RequestTryOn("shoes"))
    assert play.keyframe.try_ons == {"shirt": 2, "shoes": 1}


def test_try_ons_leave_with_their_product() -> None:
    """A product that comes back begins at no try-ons; replacing one keeps them."""
    play = Play()
    play.adds(SHIRT)
    play.does(VERA, RequestTryOn("shirt"))
    play.adds(CHEAPER)
    assert play.keyframe.try_ons == {"shirt": 1}
    play.does(ANCHOR, RemoveProduct("shirt"))
    play.adds(SHIRT)
    assert play.keyframe.try_ons == {}
    play.does(VERA, RequestTryOn("shirt"))


def test_a_room_remembers_a_limited_number_of_try_ons() -> None:
    """Beyond the setting they are refused; what is removed makes room."""
    play = Play(try_on_users_max=2)
    play.adds(SHIRT, SHOES)
    play.does(VERA, RequestTryOn("shirt"))
    play.does(VERA, RequestTryOn("shoes"))
    assert play.refused(VICTOR, RequestTryOn("shirt")).code == "limit_reached"
    play.does(ANCHOR, RemoveProduct("shoes"))
    play.does(VICTOR, RequestTryOn("shirt"))


def test_one_viewer_has_a_share_of_them() -> None:
    """A viewer who asked for the most products is refused, and others are not."""
    play = Play(try_ons_per_user_max=1)
    play.adds(SHIRT, SHOES)
    play.does(VERA, RequestTryOn("shirt"))
    assert play.refused(VERA, RequestTryOn("shoes")).code == "limit_reached"
    play.does(VICTOR, RequestTryOn("shoes"))
    play.does(ANCHOR, RemoveProduct("shirt"))
    play.does(VERA, RequestTryOn("shoes"))


@pytest.mark.parametrize(
    ("product", "code", "field"),
    [
        (Product("x", " ", 1), "empty_text", "product.title"),
        (Product("x", "a\u202e", 1), "control_characters", "product.title"),
        (Product("x", "a", 1, "https://a/\x01"), "control_characters", "product.image_url"),
        (Product("x", "a", 1, "", "https://a/\x01"), "control_characters", "product.link_url"),
    ],
)
def test_a_product_must_be_showable(product: Product, code: str, field: str) -> None:
    """Title and addresses go to every viewer as they are."""
    refusal = Play().refused(ANCHOR, AddProduct(product))
    assert (refusal.code, refusal.field) == (code, field)
