"""Commands over HTTP: each reaches the engine as its sender, is decided once, and gets its own answer."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from liveroom.config.schema import GatewayConfig
from liveroom.console import api
from liveroom.console.api import HTTP_COMMANDS
from liveroom.messages.fields import Role
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.records import Sender
from liveroom.protocol.refusals import REFUSALS
from tests.console.live import ANCHOR, MODERATOR, PLATFORM, VIEWER, Live, SeenJournal, config_of, engine_on, serve, serve_all, token

MUG = {"id": "mug", "title": "A mug", "price_fen": 990}


async def test_every_command_has_a_route_and_reaches_the_engine_as_its_sender(live: Live) -> None:
    """Every command that a token may send is sent by POST and decided as the token's user."""
    sent: list[str] = []

    async def do(name: str, fields: dict[str, Any] | None = None, token: str = ANCHOR) -> Any:
        sent.append(name)
        return await live.do(name, fields, token=token)

    await do("open_room", {"title": "Tea at ten"})
    await do("set_announcement", {"text": "Welcome"})
    line = await do("send_chat", {"text": "hello"}, VIEWER)
    await do("delete_message", {"message": line["message"]})
    await do("mute_user", {"user": "vera", "duration_ms": 60_000})
    await do("unmute_user", {"user": "vera"})
    await do("ban_user", {"user": "vera", "duration_ms": 60_000, "reason": "spam"})
    await do("unban_user", {"user": "vera"})
    await do("set_slow_mode", {"interval_ms": 5_000})
    await do("set_banned_words", {"words": ["bad"]})
    await do("set_chat_budget", {"lines_per_s": 7})
    first = await do("ask_question", {"text": "is it hot?"}, VIEWER)
    await do("pick_question", {"question": first["question"]})
    await do("answer_question", {"question": first["question"], "text": "yes"})
    second = await do("ask_question", {"text": "is it cold?"}, VIEWER)
    await do("dismiss_question", {"question": second["question"]}, MODERATOR)
    await do("send_likes", {"count": 3}, VIEWER)
    await do("add_product", {"product": MUG})
    await do("pin_product", {"product": "mug"}, MODERATOR)
    await do("request_try_on", {"product": "mug"}, VIEWER)
    coupon = (await do("issue_coupon", {"title": "5 off", "terms": {"amount_fen": 500}, "stock": 3}))["coupon"]
    code = (await do("claim_coupon", {"coupon": coupon}, VIEWER))["code"]
    await do("stop_coupon", {"coupon": coupon})
    await do("redeem_coupon", {"code": code, "order": "o1", "spend_fen": 990}, PLATFORM)
    await do("release_coupon", {"code": code, "order": "o1"}, PLATFORM)
    sale = (await do("announce_flash_sale", {"product": "mug", "price_fen": 990, "stock": 5, "per_user_max": 2, "opens_in_ms": 0}))["sale"]
    await do("restock_flash_sale", {"sale": sale, "quantity": 1})
    paid = await do("reserve_stock", {"sale": sale, "coupon_code": code}, VIEWER)
    assert paid["due_fen"] == 490
    await do("confirm_hold", {"hold": paid["hold"], "payment": "p1"}, PLATFORM)
    unpaid = await do("reserve_stock", {"sale": sale}, VIEWER)
    await do("cancel_hold", {"hold": unpaid["hold"]}, VIEWER)
    await do("close_flash_sale", {"sale": sale})
    await do("unpin_product")
    await do("remove_product", {"product": "mug"})
    early = await do("drop_red_envelope", {"total_fen": 100, "shares": 5})
    await do("cancel_red_envelope", {"envelope": early["envelope"]})
    open_now = await do("drop_red_envelope", {"total_fen": 100, "shares": 5, "opens_in_ms": 0})
    await do("grab_red_envelope", {"envelope": open_now["envelope"]}, VIEWER)
    await do("close_room", {}, PLATFORM)

    assert set(sent) == set(HTTP_COMMANDS)
    senders = {
        ANCHOR: Sender("anna", "Anna 安娜", Role.anchor),
        MODERATOR: Sender("mo", "mo", Role.moderator),
        VIEWER: Sender("vera", "vera", Role.viewer),
        PLATFORM: Sender("shop", "shop", Role.platform),
    }
    assert {replace(request.sender, address_hash="") for request in live.journal.sent} == set(senders.values())
    assert [type(request.command).__struct_config__.tag for request in live.journal.sent] == sent
    assert {request.room for request in live.journal.sent} == {"r1"}


async def test_a_buyer_is_known_as_one(live: Live) -> None:
    """The token's `buyer` goes with the command."""
    await live.do("open_room", {"title": "t"})
    await live.do("send_chat", {"text": "mine"}, token=token("bo", Role.viewer, buyer=True))
    assert live.journal.sent[-1].sender == Sender("bo", "bo", Role.viewer, buyer=True)
    assert (await live.get("/v1/rooms/r1")).json["chat"][-1]["buyer"] is True


async def test_commands_of_gateways_have_no_route(live: Live) -> None:
    """Commands of gateways are no commands here, even for the platform."""
    for name in COMMANDS.keys() - set(HTTP_COMMANDS):
        answer = await live.ask("POST", f"/v1/rooms/r1/commands/{name}", token=PLATFORM, body=b"{}")
        assert (answer.status, answer.json["code"]) == (400, "unknown_command")
    assert live.journal.sent == []


async def test_a_retry_gets_the_original_answer(live: Live) -> None:
    """The same key with the same command is decided once and answered alike, also by another console."""
    await live.do("open_room", {"title": "t"})
    first = await live.send("ask_question", {"text": "how big?"}, token=VIEWER, key="k-1")
    again = await live.send("ask_question", {"text": "how big?"}, token=VIEWER, key="k-1")
    assert first.status == again.status == 200
    assert first.json == again.json
    assert first.json["id"] == "k-1"
    async with serve(journal=live.journal) as other:
        assert (await other.send("ask_question", {"text": "how big?"}, token=VIEWER, key="k-1")).json == first.json
    assert len((await live.get("/v1/rooms/r1/questions")).json["questions"]) == 1


async def test_a_key_used_for_another_command_is_refused(live: Live) -> None:
    """A key identifies one command; another command under it is `id_reused`, 422."""
    await live.do("open_room", {"title": "t"})
    await live.do("set_announcement", {"text": "a"}, key="k")
    answer = await live.send("set_announcement", {"text": "b"}, key="k")
    assert (answer.status, answer.json["code"], answer.json["id"]) == (422, "id_reused", "k")


async def test_without_a_key_every_command_is_a_new_one(live: Live) -> None:
    """The console makes an id, and the answer has it."""
    await live.do("open_room", {"title": "t"})
    ids = {(await live.send("send_likes", {"count": 1}, token=VIEWER)).json["id"] for _ in range(3)}
    assert len(ids) == 3
    assert (await live.get("/v1/rooms/r1")).json["likes"] == 3


@pytest.mark.parametrize("key", ["a b", "ключ", "x" * 65])
async def test_a_key_of_the_wrong_form_is_named(live: Live, key: str) -> None:
    """A bad Idempotency-Key is a 400 that names the header."""
    answer = await live.send("open_room", {"title": "t"}, key=key)
    assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize(
    ("command", "fields", "sender", "code", "field"),
    [
        ("send_likes", None, VIEWER, "room_not_found", ""),
        ("open_room", {"title": "t"}, VIEWER, "forbidden", ""),
        ("open_room", {"title": " \u200b "}, ANCHOR, "empty_text", "title"),
    ],
)
async def test_a_refusal_of_the_room_is_a_problem(live: Live, command: str, fields: Any, sender: str, code: str, field: str) -> None:
    """The engine's refusal becomes a problem with the status that its code has."""
    answer = await live.send(command, fields, token=sender, key="k")
    assert answer.status == REFUSALS[code][0]
    problem = answer.json
    assert problem["type"] == f"urn:liveroom:problem:{code}"
    assert (problem["status"], problem["code"], problem["title"]) == (answer.status, code, REFUSALS[code][1])
    assert problem["id"] == "k"
    assert problem.get("field", "") == field


async def test_refusals_say_when_to_come_back(live: Live) -> None:
    """A mute's end is in the problem and, in seconds, in Retry-After. The seq says that the room decided: a retry needs a new key."""
    await live.do("open_room", {"title": "t"})
    await live.do("mute_user", {"user": "vera", "duration_ms": 60_000, "reason": "be kind"})
    answer = await live.send("send_chat", {"text": "x"}, token=VIEWER)
    assert (answer.status, answer.json["code"]) == (403, "muted")
    assert "be kind" in answer.json["detail"]
    assert 0 < answer.json["retry_after_ms"] <= 60_000
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.json["seq"] > 0


@pytest.mark.parametrize(
    ("command", "body", "code", "field"),
    [
        ("send_chat", b"{", "malformed", None),
        ("send_chat", b"[]", "wrong_type", None),
        ("send_chat", b'{"text":"\xff"}', "bad_utf8", None),
        ("send_chat", b"", "missing_field", "text"),
        ("send_chat", b"{}", "missing_field", "text"),
        ("send_chat", b'{"text":1}', "wrong_type", "text"),
        ("send_chat", b'{"text":"a","txt":"b"}', "unknown_field", "txt"),
        ("send_chat", b'{"text":""}', "too_short", "text"),
        ("send_chat", msgspec.json.encode({"text": "x" * 301}), "too_long", "text"),
        ("send_chat", b'{"type":"open_room","text":"a"}', "bad_value", "type"),
        ("set_slow_mode", b'{"interval_ms":-1}', "out_of_range", "interval_ms"),
        ("add_product", b'{"product":{"id":"a","title":"t","price_fen":"1"}}', "wrong_type", "product.price_fen"),
        ("add_product", b'{"product":{"id":"a","title":"t","price_fen":1,"image_url":"javascript:x"}}', "bad_value", "product.image_url"),
        ("nonsense", b"{}", "unknown_command", "command"),
    ],
)
async def test_a_bad_body_is_named(live: Live, command: str, body: bytes, code: str, field: str | None) -> None:
    """A body that is no command gets its own code and the name of the field, and never reaches the journal."""
    answer = await live.ask("POST", f"/v1/rooms/r1/commands/{command}", token=ANCHOR, body=body)
    assert answer.json["code"] == code, answer.body
    assert answer.json["status"] == answer.status
    if field is not None:
        assert answer.json["field"] == field
    assert live.journal.sent == []


async def test_a_bad_room_id_is_refused_before_anything(live: Live) -> None:
    """A room id with other characters is `bad_room_id`, on every address."""
    for method, path in [
        ("POST", "/v1/rooms/a%20b/commands/send_likes"),
        ("GET", "/v1/rooms/%2e%2e"),
        ("GET", "/v1/rooms/-x/showcase"),
        ("GET", "/rooms/%0a"),
        ("GET", "/console/_"),
    ]:
        answer = await live.ask(method, path, token=ANCHOR)
        assert (answer.status, answer.json["code"]) == (400, "bad_room_id"), path


async def test_the_token_decides_who_may(live: Live) -> None:
    """No token, a bad one, an expired one: 401 with WWW-Authenticate; another room's: 403."""
    missing = await live.ask("POST", "/v1/rooms/r1/commands/open_room", body=b'{"title":"t"}')
    assert (missing.status, missing.json["code"], missing.headers["WWW-Authenticate"]) == (401, "bad_token", 'Bearer realm="liveroom"')
    for bad, code in [
        ("nonsense", "bad_token"),
        (ANCHOR[:-3], "bad_token"),
        (token("anna", Role.anchor, lifetime_s=-60), "token_expired"),
        ("x" * 5_000, "bad_token"),
    ]:
        answer = await live.send("open_room", {"title": "t"}, token=bad)
        assert (answer.status, answer.json["code"]) == (401, code)
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="liveroom", error="invalid_token"')
        assert bad[:40] not in answer.body.decode() + answer.headers["WWW-Authenticate"]
    basic = await live.ask("POST", "/v1/rooms/r1/commands/open_room", headers={"Authorization": "Basic YTpi"})
    assert (basic.status, basic.json["code"]) == (401, "bad_token")
    for other in (token("anna", Role.anchor, "r2"), token("anna", Role.anchor, "*")):
        answer = await live.send("open_room", {"title": "t"}, token=other)
        assert (answer.status, answer.json["code"]) == (403, "wrong_room")
    assert live.journal.sent == []


async def test_a_user_who_sends_too_much_waits_alone() -> None:
    """Beyond the burst a user is `rate_limited` with a retry time; others are not."""
    async with serve_all(config_of(requests_per_s=1, requests_burst=3)) as live:
        answers = [await live.send("open_room", {"title": "t"}) for _ in range(5)]
        assert [a.status for a in answers[:3]] == [200, 409, 409]
        limited = answers[-1]
        assert (limited.status, limited.json["code"]) == (429, "rate_limited")
        assert 0 < limited.json["retry_after_ms"] <= 2_000
        assert limited.headers["Retry-After"] in ("1", "2")
        assert (await live.send("send_likes", {}, token=VIEWER)).status == 200


async def test_a_body_that_is_too_large_is_refused() -> None:
    """Beyond `body_bytes_max` it is 413, also when it was compressed."""
    async with serve_all(config_of(body_bytes_max=2_048)) as live:
        large = msgspec.json.encode({"text": "x" * 1_000_000})
        plain = await live.ask("POST", "/v1/rooms/r1/commands/set_announcement", token=ANCHOR, body=large)
        assert (plain.status, plain.json["code"]) == (413, "too_large")
        packed = await live.ask(
            "POST", "/v1/rooms/r1/commands/set_announcement", token=ANCHOR, body=zlib.compress(large), headers={"Content-Encoding": "deflate"}
        )
        assert (packed.status, packed.json["code"]) == (413, "too_large")
        assert live.journal.sent == []


async def test_a_body_that_does_not_come_is_given_up(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops in the middle of its body is answered 408."""
    monkeypatch.setattr(api, "BODY_READ_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
    head = f"POST /v1/rooms/r1/commands/open_room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ANCHOR}\r\nContent-Length: 100\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    writer.close()
    assert (await live.send("open_room", {"title": "t"})).status == 200


async def test_an_unanswered_command_can_be_retried() -> None:
    """Without an engine the outcome is unknown, 503; when one comes, a retry with the same key finds the one outcome."""
    config = config_of(reply_wait_ms=100)
    journal = SeenJournal(config.journal)
    async with serve(config, journal=journal) as live:
        answer = await live.send("open_room", {"title": "t"}, key="k")
        assert (answer.status, answer.json["code"], answer.json["id"]) == (503, "unavailable", "k")
        assert answer.headers["Retry-After"] == "1"
        async with engine_on(journal, config):
            retried = await live.send("open_room", {"title": "t"}, key="k")
            assert (retried.status, retried.json["seq"]) == (200, 1)
    await journal.close()


async def test_a_journal_that_is_gone_is_said(live: Live) -> None:
    """A closed journal is `unavailable`, and the console goes on answering."""
    await live.do("open_room", {"title": "t"})
    await live.journal.close()
    answer = await live.send("set_announcement", {"text": "x"})
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert (await live.get("/v1/rooms/r1")).status == 200


async def test_who_gets_an_answer_reads_its_own_write(live: Live) -> None:
    """After 200 a GET on the same console shows the command's events, every time."""
    await live.do("open_room", {"title": "t"})

    async def add(i: int) -> None:
        product = {"id": f"p{i}", "title": f"Product {i}", "price_fen": i}
        answer = await live.send("add_product", {"product": product})
        showcase = (await live.get("/v1/rooms/r1/showcase")).json
        assert product in showcase["products"]
        assert showcase["version"] >= answer.json["result"]["version"]

    await asyncio.gather(*(add(i) for i in range(40)))
    await live.do("pin_product", {"product": "p7"})
    assert (await live.get("/v1/rooms/r1")).json["pinned"]["id"] == "p7"
    assert (await live.get("/v1/rooms")).json["rooms"][0]["pinned"]["title"] == "Product 7"
    await live.do("close_room")
    assert (await live.get("/v1/rooms")).json["rooms"] == []


async def test_a_claim_counts_for_the_address_that_it_comes_from() -> None:
    """A trusted proxy, or the platform's own service, names the viewer's; what it claims for nobody's address is not counted."""
    config = replace(config_of(), gateway=GatewayConfig(trusted_proxies=("127.0.0.0/8",)))
    journal = SeenJournal(config.journal)
    async with engine_on(journal, config), serve(config, journal=journal) as live:
        await live.do("open_room", {"title": "Tea at ten"})
        fields = {"title": "5 off", "terms": {"amount_fen": 500}, "stock": 9, "users_per_address_max": 1}
        coupon = (await live.do("issue_coupon", fields))["coupon"]

        async def claim(user: str, forwarded_for: str) -> str:
            headers = {"X-Forwarded-For": forwarded_for} if forwarded_for else {}
            path, body = "/v1/rooms/r1/commands/claim_coupon", msgspec.json.encode({"coupon": coupon})
            answer = await live.ask("POST", path, token=token(user, Role.viewer), headers=headers, body=body)
            return str(answer.json.get("code", ""))

        assert await claim("vera", "203.0.113.7") == ""
        assert await claim("victor", "198.51.100.1, 203.0.113.7:4711") == "address_limit"
        assert await claim("victor", "203.0.113.8") == ""
        assert [await claim(user, "") for user in ("wim", "wanda")] == ["", ""]
        assert "203.0.113" not in str(journal.sent)
