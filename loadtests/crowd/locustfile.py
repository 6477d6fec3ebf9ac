"""Locust users against a server that runs, for example that of `make run`:

    locust -f loadtests/crowd/locustfile.py --headless -u 20 -r 10 -t 10s --html locust.html

`--tags` takes one scenario: watch, chat, envelope or sale.

The host is the console (http://127.0.0.1:8801), which names the gateway. Tokens are signed with LIVEROOM_AUTH_SECRET,
or with the secret that dev mode keeps in LIVEROOM_DATA_DIR (default: data). LIVEROOM_LOAD_ROOM names the room (default: demo).
"""

from __future__ import annotations

import random
import time
from typing import Any, Final

import gevent
from locust import between, tag, task

from liveroom.messages.fields import Role
from loadtests.crowd.locust_room import RoomUser, run_id

# The anchor's things: small, short, and soon gone.
ENVELOPE: Final = {"total_fen": 1_000, "shares": 5, "opens_in_ms": 500, "open_for_ms": 4_000}
SALE: Final = {"product": "locust", "price_fen": 9_900, "stock": 5, "per_user_max": 1_000, "opens_in_ms": 500, "open_for_ms": 4_000, "hold_ms": 1_000}
#: Share of the holds that buyers pay; the others expire.
PAID: Final = 0.7


def _stamped() -> str:
    return f"locust {run_id} {time.perf_counter_ns()}"


class QuietViewer(RoomUser):
    """Watches, and now and then taps."""

    weight = 8
    wait_time = between(5, 15)

    @tag("watch")
    @task
    def tap(self) -> None:
        """A few likes."""
        self.send("send_likes", {"type": "send_likes", "count": 3})


class Chatter(RoomUser):
    """Says something every few seconds, slowly enough for the room's limits."""

    weight = 3
    wait_time = between(2, 5)

    @tag("chat")
    @task
    def chat(self) -> None:
        """One line."""
        self.send("send_chat", {"type": "send_chat", "text": _stamped()})


class _Opportunist(RoomUser):
    """Takes each offer once, when it opens."""

    abstract = True
    offer = ""
    wait_time = between(0.2, 0.5)

    def on_start(self) -> None:
        """Nothing is offered yet."""
        self._offers: list[tuple[int, int]] = []
        super().on_start()

    def on_event(self, event: dict[str, Any]) -> None:
        """Take note of an offer: what opens when."""
        if event["type"] == self.offer:
            self._offers.append((event["seq"], event["opens_ms"]))

    def take_next(self) -> None:
        """Wait for the opening of the oldest offer, as everybody does."""
        if self._offers:
            thing, opens_ms = self._offers.pop(0)
            gevent.sleep(max(0.0, opens_ms / 1000 - time.time() + random.random() * 0.5))
            self.claim(thing)

    def claim(self, thing: int) -> None:
        """Claim it."""
        raise NotImplementedError


class Grabber(_Opportunist):
    """Grabs every red envelope that the anchor drops."""

    weight = 3
    offer = "red_envelope_dropped"

    @tag("envelope")
    @task
    def take(self) -> None:
        """The next envelope."""
        self.take_next()

    def claim(self, thing: int) -> None:
        """Grab."""
        self.send("grab_red_envelope", {"type": "grab_red_envelope", "envelope": thing})


class Buyer(_Opportunist):
    """Reserves from every sale; the platform confirms most of the payments, the rest expires."""

    weight = 3
    offer = "flash_sale_announced"

    @tag("sale")
    @task
    def take(self) -> None:
        """The next sale."""
        self.take_next()

    def claim(self, thing: int) -> None:
        """Reserve, and mostly pay."""
        reply = self.send("reserve_stock", {"type": "reserve_stock", "sale": thing, "quantity": 1})
        if reply["type"] == "accepted" and random.random() < PAID:
            hold = reply["result"]["hold"]
            self.post("confirm_hold", {"hold": hold, "payment": f"locust-{run_id}-{hold}"})


class Anchor(RoomUser):
    """Changes the announcement, drops red envelopes and sells; while there are as many as a room may have, no more."""

    fixed_count = 1
    role = Role.anchor
    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        """Put the sale's product into the showcase."""
        super().on_start()
        self.send("add_product", {"type": "add_product", "product": {"id": "locust", "title": "Locust", "price_fen": 9_900}})

    @tag("envelope")
    @task
    def drop(self) -> None:
        """A red envelope."""
        self.send("drop_red_envelope", {"type": "drop_red_envelope", **ENVELOPE})

    @tag("sale")
    @task
    def sell(self) -> None:
        """A flash sale."""
        self.send("announce_flash_sale", {"type": "announce_flash_sale", **SALE})

    @tag("watch", "chat")
    @task(2)
    def announce(self) -> None:
        """An announcement with the time on it."""
        self.send("set_announcement", {"type": "set_announcement", "text": _stamped()})
