"""Odd texts in every field, odd claims in tokens, and lists of words that are as large as may be."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

import jwt
import orjson

from liveroom.messages.fields import Role
from loadtests.hostile.attacks.front import Front

__all__ = ["ODD", "odd_texts", "odd_tokens", "word_lists"]

#: Unpaired surrogates, controls, marks that pile up, characters that grow when they are normalized, and the like.
ODD: Final = (
    "Anna \ud83d",
    "\udc00",
    "a\u0000b",
    "\u001b[31mred",
    "a\u009bb",
    "a\u007fb",
    "line\nline\r\n",
    "\u202egnirts",
    "z" + "\u0300\u0316\u0351" * 90,
    "\ufdfa" * 300,
    "\ufeff\u200b\u2060",
    "\ufffe\uffff",
    "👨‍👩‍👧‍👦" * 10,
    "constructor",
    "__proto__",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "x" * 300,
    "",
)
#: Acts a second.
TEXTS: Final = 10.0
TOKENS: Final = 10.0
LISTS: Final = 1.0
LINES: Final = 2.0
#: A list of the largest size that a request body holds. Every second one is larger yet once it is normalized.
WORDS: Final = 480
WORD_CHARACTERS: Final = 50
GROWING: Final = "\ufdfa"


async def odd_texts(front: Front) -> None:
    """Every field of viewers' and anchors' commands, over HTTP as bytes and as escapes, and over WebSocket."""
    field, bodies = front.field, cycle(_bodies())
    dens = cycle(field.dens)
    async with front.session() as session:

        async def over_http() -> None:
            command, body = next(bodies)
            den = next(dens)
            await front.command(session, front.token("odd-anchor", Role.anchor, den), den, command, json.dumps(body).encode())

        async def over_websocket() -> None:
            speaker = await front.speaker(front.user())
            try:
                text = front.rng.choice(ODD)
                for number, command in enumerate(("send_chat", "ask_question")):
                    message = json.dumps({"id": f"o{number}", "command": {"type": command, "text": text}})
                    speaker.send(
                        f"o{number}", message.encode(), lambda reply: front.count(getattr(reply, "code", "accepted" if reply else "no answer"))
                    )
                await asyncio.sleep(1)
            finally:
                speaker.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(front.steadily(TEXTS, over_http))
            tasks.create_task(front.steadily(TEXTS / 5, over_websocket))


def _bodies() -> list[tuple[str, dict[str, Any]]]:
    bodies: list[tuple[str, dict[str, Any]]] = []
    for text in ODD:
        bodies += [
            ("open_room", {"title": text}),
            ("set_announcement", {"text": text}),
            ("send_chat", {"text": text}),
            ("ask_question", {"text": text}),
            ("mute_user", {"user": text, "duration_ms": 1_000}),
            ("mute_user", {"user": "somebody", "duration_ms": 1_000, "reason": text}),
            ("set_banned_words", {"words": [text]}),
            ("add_product", {"product": {"id": text, "title": "t", "price_fen": 1}}),
            ("add_product", {"product": {"id": "p", "title": text, "price_fen": 1, "image_url": text, "link_url": text}}),
            ("drop_red_envelope", {"total_fen": 1, "shares": 1, "title": text, "condition": {"keyword": text}}),
            ("issue_coupon", {"title": text, "terms": {"amount_fen": 1}, "stock": 1}),
        ]
    return bodies


async def odd_tokens(front: Front) -> None:
    """Tokens that are signed as they should be and say odd things, at the door of a warm room and of cold ones; and as anchors over HTTP."""
    field = front.field
    claims = cycle(_claims())
    rooms = cycle([field.room, *field.dens])
    async with front.session() as session:

        async def one() -> None:
            room = next(rooms)
            said = {"sub": front.user(), "room": room, "role": "viewer", "exp": int(time.time()) + 600} | next(claims)
            token = jwt.encode(said, field.auth.secret, algorithm="HS256")
            if said["role"] == "anchor" and room != field.room:
                await front.command(session, token, room, "open_room", b'{"title": "odd"}')
                return
            speaker = await front.speaker("", room=room, token=token)
            front.count("joined")
            speaker.close()

        await front.steadily(TOKENS, one)


def _claims() -> Iterator[dict[str, Any]]:
    now_s = time.time()
    for text in ODD:
        yield {"name": text}
        yield {"name": text, "role": "anchor"}
        yield {"sub": text}
    values: tuple[Any, ...] = (None, True, 1, 1.5, [], {}, "x" * 3_000, -1, 2**70)
    for value in values:
        for claim in ("name", "sub", "buyer", "role", "room", "exp", "nbf", "iat"):
            yield {claim: value}
    yield {"exp": now_s + 600.5}
    yield {"sub": "auth0|507f1f77bcf86cd799439011", "name": "a" * 65}


async def word_lists(front: Front) -> None:
    """Moderators of rooms of their own set new lists of the largest size, and send a line after each."""
    dens = cycle(front.field.dens)
    async with front.session() as session:

        async def one() -> None:
            den, run = next(dens), front.user()
            filling = front.rng.choice((GROWING, "\u6211"))
            words = [(f"{number}{run}" + filling * WORD_CHARACTERS)[:WORD_CHARACTERS] for number in range(WORDS)]
            token = front.token("words-moderator", Role.moderator, den)
            await front.command(session, token, den, "set_banned_words", orjson.dumps({"words": words}))
            for number in range(int(LINES / LISTS)):
                line = orjson.dumps({"text": GROWING * 299 + str(number)})
                await front.command(session, front.token(f"{run}-{number}", room=den), den, "send_chat", line)

        await front.steadily(LISTS, one)
