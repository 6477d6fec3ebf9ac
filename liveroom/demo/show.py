"""A simulated show through real sockets: products, an anchor, viewers who chat and shop, and a platform that takes payments."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import urllib.error
import urllib.request
from collections.abc import Coroutine
from typing import Any

import orjson

from liveroom.auth.tokens import load_secret, make_token
from liveroom.client import Room, RoomEvent, connect
from liveroom.client.proxies import is_loopback
from liveroom.config.schema import Config
from liveroom.demo.attempt import attempt
from liveroom.demo.checkout import take_payments
from liveroom.demo.offers import KEYWORD, make_offers
from liveroom.demo.shopping import shop
from liveroom.features.lifecycle.messages import SetAnnouncement
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, PickQuestion, QuestionAsked
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RequestTryOn
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted

__all__ = ["Demo"]

log = logging.getLogger("liveroom.demo")

ROOM = "demo"
VIEWERS = 24
#: Prefix of simulated viewers' ids; everybody else is a visitor.
SIMULATED = "demo-"
TOKEN_LIFETIME_S = 86_400
ANSWER_TIMEOUT_S = 10
ARRIVE_WITHIN_S = 3.0
PIN_EVERY_S = 30
ANSWER_AFTER_S = (4.0, 12.0)
ANCHOR = ("anchor-demo", "主播 Anna", Role.anchor)
PLATFORM = ("platform-demo", "Shop", Role.platform)
PAUSE_BETWEEN_ACTIONS_S = (3.0, 25.0)

PRODUCTS = (
    Product("silk-scarf", "真丝方巾 Silk scarf, 90 cm", 19_900),
    Product("linen-shirt", "亚麻衬衫 Linen shirt", 25_900),
    Product("tea-set", "手工茶具 Hand-made tea set", 46_800),
    Product("walnut-board", "胡桃木砧板 Walnut board", 12_900),
    Product("wool-socks", "羊毛袜 Wool socks, 3 pairs", 5_900),
)
NAMES = ("小雨", "Mia", "阿杰", "Leo", "晓彤", "Nora", "大熊", "Ivy", "可可", "Sam", "糖糖", "Finn")
LINES = (
    f"{KEYWORD}！",
    "Hello from Lisbon 👋",
    "这个颜色好看",
    "Is it machine washable?",
    "第一次来，支持一下",
    "Love the texture",
    "上次买的收到了，很满意",
    "What about a larger size?",
    "想看上身效果",
    "Take my money 😂",
    "多少钱？",
    "Just joined, what did I miss?",
    "666",
    "好有质感",
)
QUESTIONS = ("什么时候发货？", "Do you ship abroad?", "有其他颜色吗？", "How long is the warranty?", "可以退换吗？")
ANSWERS = ("48小时内发货 · ships within 48 hours", "支持7天无理由退换 · returns within 7 days", "是的 · yes")


class Demo:
    """Runs until `stop`. Its errors are logged and never harm the server."""

    def __init__(self, config: Config, *, gateway_url: str, console_url: str) -> None:
        self._config = config
        self._gateway_url = gateway_url
        self._console_url = console_url
        # The environment's proxies do not reach this machine.
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(console_url) else []))
        self._secret = load_secret(config)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Open the room and let the simulated people in; returns the links as text for people."""
        is_new = await asyncio.to_thread(self._open_room)
        self._spawn(self._anchor(is_new))
        self._spawn(take_payments(self._config, ROOM, self._post_payment, lambda user: not user.startswith(SIMULATED)))
        for number in range(VIEWERS):
            self._spawn(self._viewer(number))
        return self._links()

    async def stop(self) -> None:
        """Disconnect all simulated people."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The people

    def _open_room(self) -> bool:
        """Open the room over HTTP, because an unopened room accepts no WebSocket. Returns true if it was opened for the first time."""
        answer = self._post(ANCHOR, "open_room", {"title": "秋日好物 · Autumn finds"})
        if "code" in answer and answer["code"] != "room_already_open":
            raise RuntimeError(f"the demo's room cannot be opened: {answer['detail']}")
        return bool(answer.get("seq") == 1)

    async def _anchor(self, is_new: bool) -> None:
        """Furnish a new room only, because visitors may have changed an old one. Offers go on."""
        async with self._connect(*ANCHOR) as room:
            if is_new:
                for product in PRODUCTS:
                    await room.send(AddProduct(product))
                await room.send(SetAnnouncement("全场满299包邮 · Free shipping over ¥299"))
                self._spawn(self._pin_in_turn(room))
            self._spawn(make_offers(room, PRODUCTS))
            async for item in room:
                if isinstance(item, RoomEvent) and isinstance(item.event, QuestionAsked):
                    self._spawn(self._answer(room, item.seq))

    async def _pin_in_turn(self, room: Room) -> None:
        """Pin products in turn, until somebody else pins, unpins or closes the room."""
        for product in itertools.cycle(PRODUCTS):
            await attempt(room.send(PinProduct(product.id)))
            await asyncio.sleep(PIN_EVERY_S)
            if room.state.pinned is None or room.state.pinned.id != product.id or not room.state.open:
                return

    async def _answer(self, room: Room, question: int) -> None:
        await asyncio.sleep(random.uniform(*ANSWER_AFTER_S))
        await attempt(room.send(PickQuestion(question)))
        await asyncio.sleep(random.uniform(*ANSWER_AFTER_S))
        await attempt(room.send(AnswerQuestion(question, random.choice(ANSWERS))))

    async def _viewer(self, number: int) -> None:
        await asyncio.sleep(random.uniform(0, ARRIVE_WITHIN_S))
        async with self._connect(f"{SIMULATED}{number}", NAMES[number % len(NAMES)], Role.viewer) as room, asyncio.TaskGroup() as doings:
            doings.create_task(shop(room, self._pay))
            while True:
                await asyncio.sleep(random.uniform(*PAUSE_BETWEEN_ACTIONS_S))
                await attempt(self._act(room))

    def _act(self, room: Room) -> Coroutine[Any, Any, Accepted]:
        chance = random.random()
        if chance < 0.55:
            return room.send_chat(random.choice(LINES))
        if chance < 0.9:
            return room.send_likes(random.randint(1, 12))
        if chance < 0.97:
            return room.send(RequestTryOn(random.choice(PRODUCTS).id))
        return room.send(AskQuestion(random.choice(QUESTIONS)))

    async def _pay(self, hold: int) -> None:
        """Confirm a hold as the platform's checkout does. A late payment is refused; the demo leaves it at that."""
        await asyncio.to_thread(self._post_payment, hold)

    def _post_payment(self, hold: int) -> None:
        self._post(PLATFORM, "confirm_hold", {"hold": hold, "payment": f"demo-{hold}"})

    # Links and tokens

    def _links(self) -> str:
        lines = [
            "",
            "  A demo room is live. Open these in a browser (two viewers, to see them talk):",
            f"    console   {self._console_url}/console/{ROOM}#token={self._token(*ANCHOR)}",
        ]
        for number in (1, 2):
            token = self._token(f"visitor-{number}", f"Visitor {number}", Role.viewer)
            lines.append(f"    viewer {number}  {self._console_url}/rooms/{ROOM}#token={token}")
        return "\n".join([*lines, f"    all rooms {self._console_url}/", "", "  Stop with Ctrl-C.", ""])

    def _post(self, who: tuple[str, str, Role], command: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Send one command over HTTP, as backends do; returns the answer or the problem."""
        request = urllib.request.Request(
            f"{self._console_url}/v1/rooms/{ROOM}/commands/{command}",
            data=encode(fields),
            headers={"Authorization": f"Bearer {self._token(*who)}", "Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=ANSWER_TIMEOUT_S) as response:
                body = response.read()
        except urllib.error.HTTPError as problem:
            with problem:
                body = problem.read()
        answer: dict[str, Any] = orjson.loads(body)
        return answer

    def _token(self, user: str, name: str, role: Role) -> str:
        return make_token(self._secret, self._config.auth, user=user, room=ROOM, role=role, lifetime_s=TOKEN_LIFETIME_S, name=name)

    def _connect(self, user: str, name: str, role: Role) -> Room:
        return connect(self._gateway_url, room=ROOM, token=lambda: self._token(user, name, role))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            log.warning("a simulated person left", extra={"reason": f"{type(error).__name__}: {error}"})
