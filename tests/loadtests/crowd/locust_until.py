"""Beside a locustfile: ends the run once the requests of `WANTED`, counts by name in JSON, have been made. The run's own time is the bound."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any, Final

import gevent
from locust import events

WANTED: Final = Counter(json.loads(os.environ["WANTED"]))


def watch(environment: Any, **_: Any) -> None:
    """Count what the users did, until nothing is left."""
    left = Counter(WANTED)

    def made(name: str, **_: Any) -> None:
        nonlocal left
        was_left = bool(left)
        left -= Counter({name: 1})
        if was_left and not left:
            gevent.spawn(environment.runner.quit)  # not here: it ends the user that is counted

    environment.events.request.add_listener(made)


_init: Any = events.init
_init.add_listener(watch)
