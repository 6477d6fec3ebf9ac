"""The table of endings: both clients do what its rows say, against a server that is played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from liveroom.client import connect, reconnect
from liveroom.client.endings import CLOSE_NO_ADDRESS, CLOSE_NO_TOKEN, ENDINGS, Then, then_of
from liveroom.messages.errors import CLOSE_CODES
from liveroom.protocol.frames import Banned, Entitlements, Refused
from tests.client.clients import NODE, JavaScript, Python
from tests.client.conftest import AcceptedHandshake, Gateway, joined, keyframe

HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"

#: Sample codes for the rows that are ranges.
EXAMPLES = {(0, 999): [400, 403, 404, 500, 502, 504], (4500, 4999): [4506, 4999], (1000, 4999): [1003, 1007, 3999, 4005, 4499]}
#: Ends that no server can cause: the clients' own, each with a test below.
OWN = {CLOSE_NO_TOKEN, CLOSE_NO_ADDRESS}
CODES = [code for row in ENDINGS for code in EXAMPLES.get((row.first, row.last), [row.first]) if code not in OWN]


@pytest.fixture(params=["python", "javascript"])
async def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Python | JavaScript]:
    """One client after the other."""
    if request.param == "javascript" and NODE is None:
        pytest.skip("node is not installed")
    monkeypatch.setattr(reconnect, "DELAY_UNAUTHORIZED_S", 0.01)
    client = Python() if request.param == "python" else JavaScript()
    yield client
    await client.stop()


async def end(visit: AcceptedHandshake, code: int) -> None:
    """End a connection with a close code, or as a network does."""
    if code == 1006:
        visit.socket.transport.abort()
    elif code == 1005:
        visit.socket.transport.write(b"\x88\x00")
    else:
        await visit.close(code, "why")


def token_of(visit: AcceptedHandshake) -> str:
    """The token that a client came with: Python's in a header, a browser's as a subprotocol."""
    offered = visit.headers.get("Sec-WebSocket-Protocol", "").split("liveroom.token.")[-1]
    return offered or visit.headers["Authorization"].removeprefix("Bearer ")


def test_every_close_code_has_a_row_of_its_own() -> None:
    """No code of ours is left to a range; of ours 4000-4499 come back in some way, and a row never hides another."""
    assert {row.first for row in ENDINGS if row.first == row.last} >= set(CLOSE_CODES)
    for code in CLOSE_CODES:
        assert (then_of(code) is not Then.final) or code >= 4500
    singles = [row.first for row in ENDINGS if row.first == row.last]
    assert len(singles) == len(set(singles))
    assert {(row.first, row.last) for row in ENDINGS if row.first != row.last} == set(EXAMPLES)
    assert then_of(0) is then_of(7_000) is Then.retry


@pytest.mark.parametrize("code", CODES)
async def test_a_client_does_what_the_row_says(gateway: Gateway, client: Python | JavaScript, code: int) -> None:
    """After an end with the row's code a client with a token function comes back, or stays away and says why."""
    await client.start(gateway.url, gives=["t1", "t2"])
    visit = await gateway.welcome()
    await client.until("joined")
    if code < 1000:
        gateway.refuse = [code]
        await end(visit, 1006)
    else:
        await end(visit, code)
    then = then_of(code)
    if then in (Then.final, Then.replaced):
        assert (await client.until("ended"))["code"] == code
        if then is Then.replaced and isinstance(client, JavaScript):
            await client.retry_now()
            await gateway.welcome()
        else:
            await client.ended_by_itself()
        assert gateway.visits.empty()
    else:
        again = await gateway.visit()
        # Python asks before every attempt. liveroom.js keeps a token until it is refused, and no browser shows it an HTTP status.
        renewed = isinstance(client, Python) or (then is Then.token and code > 1000)
        assert token_of(again) == ("t2" if renewed else "t1")


@pytest.mark.parametrize("code", [code for code in CODES if then_of(code) is Then.token and code > 1000])
async def test_a_fixed_token_that_is_refused_is_the_end(gateway: Gateway, client: Python | JavaScript, code: int) -> None:
    """There is no other token to ask for."""
    await client.start(gateway.url, fixed="t1")
    await end(await gateway.welcome(), code)
    assert (await client.until("ended"))["code"] == code
    await client.ended_by_itself()


@pytest.mark.parametrize("code", [code for code in CODES if code >= 4500 and then_of(code) in (Then.final, Then.token)])
async def test_what_was_never_sent_fails_with_the_end(gateway: Gateway, client: Python | JavaScript, code: int) -> None:
    """A command that no connection carried fails as the room does. One that went out is unanswered, and says by what end."""
    await client.start(gateway.url, fixed="t1")
    visit = await gateway.welcome()
    await client.until("joined")
    await client.say("went out")
    await visit.command()
    await end(visit, 1006)
    again = await gateway.visit()
    await client.say("never sent")
    await end(again, code)
    failed = {told["text"]: told for told in [await client.until("failed"), await client.until("failed")]}
    assert {text: told["name"] for text, told in failed.items()} == {"went out": "CommandUnanswered", "never sent": "Disconnected"}
    assert {(told["code"], told["reason"]) for told in failed.values()} == {(code, "why")}


async def test_an_id_that_went_out_once_may_have_happened(gateway: Gateway, client: Python | JavaScript) -> None:
    """Sent again under its id without a connection, in the room and after it, no error says that it was not sent; of another id each does."""
    await client.start(gateway.url, fixed="t1", join_timeout_s=30)
    visit = await gateway.welcome()
    await client.until("joined")
    await client.say("bought", id="buy-1", timeout_s=0.3)
    assert (await visit.command()).id == "buy-1"
    first = await client.until("failed")
    assert (first["name"], first["sent"]) == ("CommandUnanswered", True)
    await end(visit, 1006)
    again = await gateway.visit()  # without a `joined`, it carries nothing
    for text, sent, words in (("bought", True, "its outcome is unknown"), ("new", False, "this call did not send command new-1")):
        await client.say(text, id="buy-1" if sent else "new-1", timeout_s=0.05)
        told = await client.until("failed")
        assert (told["name"], told["sent"]) == ("CommandUnanswered", sent)
        assert words in told["words"]
    await client.say("bought", id="buy-1")
    await client.say("new", id="new-1")
    await end(again, 4504)
    failed = {told["text"]: told for told in [await client.until("failed"), await client.until("failed")]}
    assert {text: told["name"] for text, told in failed.items()} == {"bought": "CommandUnanswered", "new": "Disconnected"}
    assert failed["bought"]["sent"]


async def test_an_id_that_went_out_in_an_earlier_call_is_not_refused_at_the_door(gateway: Gateway, client: Python | JavaScript) -> None:
    """A gateway's `rate_limited` decides nothing about what went out before: the client asks again and gets the outcome."""
    await client.start(gateway.url, fixed="t1")
    visit = await gateway.welcome()
    await client.until("joined")
    await client.say("bought", id="buy-1", timeout_s=0.3)
    await visit.command()
    await client.until("failed")
    await client.say("bought again", id="buy-1")
    await visit.command()
    await visit.send(Refused("buy-1", "rate_limited", "slow down"))
    assert (await visit.command()).id == "buy-1"
    await visit.send(Refused("buy-1", "sold_out", "all gone", seq=7))
    told = await client.until("failed")
    assert (told["name"], told["code"]) == ("CommandRefused", "sold_out")


async def test_a_proxy_that_refuses_tokens_is_asked_with_another(gateway: Gateway, client: Python | JavaScript) -> None:
    """401 before the upgrade: Python comes with another token at once, liveroom.js within three attempts."""
    await client.start(gateway.url, gives=["t1", "t2"], join_timeout_s=0.5)  # node 20 says nothing at all about a 401
    visit = await gateway.welcome()
    await client.until("joined")
    gateway.refuse = [401, 401]
    await end(visit, 1006)
    assert token_of(await gateway.visit()) == "t2"


async def test_nobody_there_and_then_somebody(gateway: Gateway, client: Python | JavaScript, unused_tcp_port_factory: Callable[[], int]) -> None:
    """A connection that is refused, or a name without an address, is tried again."""
    port = unused_tcp_port_factory()
    await client.start(f"ws://127.0.0.1:{port}", fixed="t1")
    if isinstance(client, JavaScript):
        assert (await client.until("disconnected"))["code"] == 1006
    await gateway.stop()
    await gateway.start(port)
    await gateway.welcome()
    await client.until("joined")


async def test_a_handshake_that_hangs_is_given_up(gateway: Gateway, client: Python | JavaScript) -> None:
    """A server that accepts and stays silent is left after the time to join, and tried again."""
    await client.start(gateway.url, fixed="t1", join_timeout_s=0.5)
    visit = await gateway.welcome()
    await client.until("joined")
    gateway.mute = 1
    await end(visit, 1006)
    await gateway.welcome()
    await client.until("joined")


async def test_what_is_no_token_is_never_sent(gateway: Gateway, client: Python | JavaScript) -> None:
    """A token function that fails, or gives a page of HTML, JSON or nothing, is asked again; the gateway sees a real token only."""
    await client.start(gateway.url, gives=[None, HTML, '{"error": "no"}', "", "good.to-ken.x\n"])
    assert token_of(await gateway.welcome()) == "good.to-ken.x"  # the first connection at all


async def test_an_address_that_is_none_is_the_end(client: Python | JavaScript) -> None:
    """No attempt could ever succeed, and the application learns it although it listens only after `connect`."""
    if isinstance(client, Python):
        with pytest.raises(ValueError, match="url"):
            connect("ws://127.0.0.1:99999", "demo", "t1")
        return
    await client.start("ws://127.0.0.1:99999", fixed="t1")
    assert (await client.until("ended"))["code"] == CLOSE_NO_ADDRESS


async def test_refused_tokens_are_told_and_asked_for_again(gateway: Gateway, client: Python | JavaScript) -> None:
    """After three tokens in a row the application knows; the client goes on, and a good token is all it takes."""
    await client.start(gateway.url, gives=["t0", "t1", "t2", "t3", "t4", "t5"])
    await end(await gateway.welcome(), 1006)
    for _ in range(4):
        await end(await gateway.visit(), 4500)
    assert (await client.until("unauthorized"))["code"] == 4500
    await gateway.welcome()
    await client.until("joined")


async def test_a_connection_that_only_just_holds_is_no_reason_for_short_pauses(gateway: Gateway, client: Python | JavaScript) -> None:
    """A gateway that lets in, sends a keyframe and closes: attempts are counted on, so that pauses grow."""
    await client.start(gateway.url, fixed="t1")
    attempts = []
    for _ in range(6):
        await end(await gateway.welcome(), 1011)
        attempts.append((await client.until("reconnecting"))["attempt"])
    assert attempts == [1, 2, 3, 4, 5, 6]


async def test_a_banned_user_comes_back_when_the_ban_ends(gateway: Gateway, client: Python | JavaScript) -> None:
    """The `banned` frame says until when and why, by the server's clock; the pause lasts until then."""
    await client.start(gateway.url, fixed="t1")
    visit = await gateway.welcome()
    await client.until("joined")
    await visit.send(Banned(until_ms=1_000_300, time_ms=1_000_000, reason="spam"))
    await visit.close(4502, "you are banned")
    told = await client.until("banned")
    assert (told["untilMs"], told["reason"]) == (1_000_300, "spam")
    assert 300 <= (await client.until("reconnecting"))["delayMs"] <= 900
    again = await gateway.visit()  # and it may be banned at the door
    await again.send(Banned(until_ms=1_000_300, time_ms=1_000_299))
    await again.close(4502, "you are banned")
    await gateway.welcome()
    await client.until("joined")


async def test_the_delay_of_a_retry_after_is_kept(gateway: Gateway, client: Python | JavaScript) -> None:
    """A refused handshake that names a delay: Python waits at least that long (browsers hide the delay)."""
    if isinstance(client, JavaScript):
        return
    await client.start(gateway.url, fixed="t1")
    visit = await gateway.welcome()
    await client.until("joined")
    gateway.refuse, gateway.retry_after = [503], "1"
    await end(visit, 1006)
    await client.until("reconnecting")
    assert 1_000 <= (await client.until("reconnecting"))["delayMs"] <= 2_000


async def test_a_dead_link_is_noticed_by_missing_beats(gateway: Gateway, client: Python | JavaScript) -> None:
    """A client that only watches leaves a connection on which beats were promised and nothing comes, and resumes."""
    await client.start(gateway.url, fixed="t1")
    visit = await gateway.visit()
    await visit.send(joined(7, beat_ms=200), keyframe(7), Entitlements(7))
    await client.until("joined")
    again = await gateway.visit()
    assert again.query["seq"] == "7"
