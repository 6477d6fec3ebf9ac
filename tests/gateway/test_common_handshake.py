"""The quick answer to common handshakes: it never accepts what the library refuses, and answers with the same bytes."""

from __future__ import annotations

import base64
import os
import random
import re
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from liveroom.auth.tokens import TokenChecker
from liveroom.config.schema import AuthConfig, GatewayConfig
from liveroom.gateway.common_handshake import OFFER_BYTES_MAX, OFFERS_MAX, CommonHandshakes
from liveroom.gateway.handshake import AcceptedHandshake, HandshakeHandler, HandshakeRefusal
from liveroom.gateway.head import parse_common_head, parse_head
from liveroom.messages.fields import Role
from tests.gateway.place import SECRET, token

#: Mutated requests of one run. `LIVEROOM_TEST_FUZZ` raises the number.
REQUESTS = int(os.environ.get("LIVEROOM_TEST_FUZZ", "2000"))

ORIGIN = "http://127.0.0.1:8801"
_DATE = re.compile(rb"\r\nDate: [^\r]*")


def handler(config: GatewayConfig | None = None) -> HandshakeHandler:
    return HandshakeHandler(config or GatewayConfig(trusted_proxies=("10.0.0.0/8",)), TokenChecker(AuthConfig(secret=SECRET), SECRET), (ORIGIN,))


def by_library(config: GatewayConfig | None = None) -> HandshakeHandler:
    """A handler that lets the library judge every request."""
    made = handler(config)
    made._common.parse = lambda head: None  # type: ignore[method-assign]
    return made


def answered(
    made: HandshakeHandler, head: bytes, full: tuple[int, str] | None = None, peer: str = "10.0.0.1"
) -> HandshakeRefusal | AcceptedHandshake:
    """The answer, without the date."""
    answer = made.receive(head, peer, lambda address: full)
    return replace(answer, response=_DATE.sub(b"", answer.response))


def request(chance: random.Random) -> list[bytes]:
    """The lines of a request: usual ones, and now and then an unusual one."""
    often: Callable[..., bytes] = lambda usual, *others: usual if chance.random() < 0.85 else chance.choice((usual, *others))  # noqa: E731
    proof = token("u1", role=chance.choice(list(Role))).encode() if chance.random() < 0.8 else b"no.to.ken"
    query = often(
        b"?token=" + proof,
        b"",
        b"?token=%41" + proof,
        b"?stream_id=abc&seq=5&token=" + proof,
        b"?seq=1&seq=2&stream_id=a&token=" + proof,
        b"?a=1&b=2&token=" + proof + b"&c=&d",
        b"?token=" + proof + b"#x",
        b"?" + b"x=1&" * 20 + b"token=" + proof,
        b"?token=" + proof + b"&token=other",
        b"?stream_id=a;seq=5",
    )
    path = often(
        b"/v1/rooms/demo",
        b"/v1/rooms/",
        b"/v1/rooms/de%6do",
        b"/v1/rooms/../x",
        b"/v2/rooms/demo",
        b"http://a/v1/rooms/demo",
        b"*",
        b"/v1/rooms/d mo",
    )
    lines = [
        often(b"GET", b"POST", b"get") + b" " + path + query + b" " + often(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"http/1.1"),
        b"Host: " + often(b"127.0.0.1:8800", b"", b"a, b"),
        b"Connection: " + often(b"Upgrade", b"keep-alive, Upgrade", b"keep-alive", b"upgrade,close", b'"Upgrade"', b"Upgrade, Upgrade"),
        b"Upgrade: " + often(b"websocket", b"WebSocket", b"h2c", b"websocket, h2c", b"websocket/13"),
        b"Sec-WebSocket-Version: " + often(b"13", b"8", b"13, 8", b"013", b"13 "),
        b"Sec-WebSocket-Key: "
        + often(base64.b64encode(chance.randbytes(16)), base64.b64encode(chance.randbytes(15)), b"AAAAAAAAAAAAAAAAAAAAAB==", b"!", b"", b"A" * 24),
    ]
    if chance.random() < 0.7:
        lines.append(
            b"Sec-WebSocket-Extensions: "
            + often(
                b"permessage-deflate; client_max_window_bits",
                b"permessage-deflate",
                b"permessage-deflate; server_max_window_bits=10",
                b"permessage-deflate; server_max_window_bits=10, permessage-deflate",
                b"x-webkit-deflate-frame",
                b"permessage-deflate; a=b",
                b"permessage-deflate;;",
                b";",
                b"",
            )
        )
    if chance.random() < 0.5:
        lines.append(
            b"Sec-WebSocket-Protocol: "
            + often(
                b"liveroom.v1",
                b"liveroom.v1, liveroom.token." + proof,
                b"liveroom.token." + proof + b", liveroom.v1",
                b"liveroom.v1,other",
                b"other",
                b"liveroom.v1,",
                b"",
                b'"liveroom.v1"',
            )
        )
    if chance.random() < 0.6:
        lines.append(b"Origin: " + often(ORIGIN.encode(), b"http://evil.example", b"null", b"http://127.0.0.1:8800", b""))
    if chance.random() < 0.3:
        lines.append(b"Authorization: " + often(b"Bearer " + proof, b"bearer " + proof, b"Basic eA==", b"Bearer"))
    if chance.random() < 0.3:
        lines.append(b"X-Forwarded-For: " + often(b"1.2.3.4", b"1.2.3.4, 10.0.0.2", b"x", b"[::1]:5", b""))
    if chance.random() < 0.5:
        lines.append(b"Cookie: " + often(b"a=b; c=d", b"\xe4=\xff", b"x" * 9_000, b"a\x01b"))
    rest = lines[1:]
    if chance.random() < 0.3:
        chance.shuffle(rest)
    return [lines[0], *rest]


def mutated(lines: list[bytes], chance: random.Random) -> bytes:
    """The head with lines doubled, dropped, folded or ended otherwise, with names in other cases, and with bytes exchanged."""
    lines = list(lines)
    while chance.random() < 0.3:
        at = chance.randrange(len(lines))
        match chance.randrange(8):
            case 0:
                lines.insert(at, lines[at])
            case 1:
                del lines[at : at + (len(lines) > 2)]
            case 2:
                lines[at] = lines[at].swapcase()
            case 3:
                lines[at] = b" " + lines[at]
            case 4:
                lines[at] = lines[at].replace(b": ", chance.choice((b":", b":\t ", b" : ", b":  ", b"")), 1) + chance.choice(
                    (b"", b" ", b"\t", b"\r")
                )
            case 5:
                lines.append(
                    chance.choice((b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: \x7f", b"X", b": x", b"\xe4: x"))
                )
            case 6:
                lines[at] = lines[at].replace(chance.choice((b"e", b"-", b" ", b"/", b"1")), chance.choice((b"\x00", b"\n", b"\xe9", b"", b"\t")), 1)
            case _:
                lines += [b"X-%d: y" % number for number in range(chance.choice((1, 120, 130)))]
    head = bytearray(chance.choice([b"\r\n"] * 30 + [b"\n"]).join(lines) + b"\r\n\r\n")
    if chance.random() < 0.2:
        head[chance.randrange(len(head) - 4)] = chance.randrange(256)
    return bytes(head)


def test_the_quick_answer_is_the_librarys_own() -> None:
    """Mutated requests have the same outcome, and the same bytes but for the date, whether the library judges them or not."""
    chance = random.Random(20261201)
    quick, library = handler(), by_library()
    by_quick = upgraded = 0
    for _ in range(REQUESTS):
        head = mutated(request(chance), chance)
        head = head[: head.index(b"\r\n\r\n") + 4]  # the gateway cuts it there
        full = (503, "full\n") if chance.random() < 0.03 else None
        peer = chance.choice(("10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1", "unix"))
        by_quick += quick._common.parse(head) is not None
        found = answered(quick, head, full, peer)
        assert found == answered(library, head, full, peer), head
        upgraded += isinstance(found, AcceptedHandshake)
    assert by_quick > REQUESTS / 20
    assert upgraded - by_quick > REQUESTS / 100  # upgraded by the library alone
    assert upgraded < REQUESTS * 0.8


def test_a_common_head_means_the_same_to_both_parsers() -> None:
    """Each header that the quick parser reads has the value that the strict parser reads."""
    chance = random.Random(7)
    common = 0
    for _ in range(REQUESTS):
        head = mutated(request(chance), chance)
        head = head[: head.index(b"\r\n\r\n") + 4]
        if (parsed := parse_common_head(head)) is not None:
            target, headers = parsed
            whole = parse_head(head)
            assert (whole.path, len(list(whole.headers.raw_items()))) == (target, len(headers))
            assert all(whole.headers[name.decode()] == value.decode("latin-1") for name, value in headers.items())
            common += 1
    assert common > REQUESTS / 10


def browser_head(offer: bytes = b"") -> bytes:
    lines = [
        b"GET /v1/rooms/demo?token=" + token("u1").encode() + b" HTTP/1.1",
        *(
            b"Host: 127.0.0.1:8800",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + b"A" * 22 + b"==",
        ),
        *([b"Sec-WebSocket-Extensions: " + offer] if offer else []),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_the_common_request_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser's request is answered without the library, with compression from its second time on."""
    made = handler()
    made.receive(browser_head(b"permessage-deflate; client_max_window_bits"), "127.0.0.1", lambda address: None)
    monkeypatch.setattr(made, "_receive_any", None)
    plain = made.receive(browser_head(), "127.0.0.1", lambda address: None)
    packed = made.receive(browser_head(b"permessage-deflate; client_max_window_bits"), "127.0.0.1", lambda address: None)
    assert isinstance(plain, AcceptedHandshake)
    assert isinstance(packed, AcceptedHandshake)
    assert (plain.deflate, packed.deflate) == (False, True)


def test_offers_of_extensions_are_remembered_up_to_a_limit() -> None:
    """A client that invents offers fills no memory."""
    common = CommonHandshakes()
    for number in range(OFFERS_MAX + 10):
        common.learn(f"x-{number}", None, deflate=False)
    common.learn("x" * (OFFER_BYTES_MAX + 1), None, deflate=False)
    assert len(common._offers) == OFFERS_MAX


def test_the_date_of_a_response_is_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remembered date lasts a second."""
    common = CommonHandshakes()
    for unix_s, date in ((1_796_000_000.9, b"Mon, 30 Nov 2026 00:53:20 GMT"), (1_796_000_001.0, b"Mon, 30 Nov 2026 00:53:21 GMT")):
        monkeypatch.setattr(time, "time", lambda unix_s=unix_s: unix_s)
        parsed = common.parse(browser_head())
        assert parsed is not None
        assert b"Date: " + date in parsed.response


def test_a_head_of_spaces_costs_no_more_than_one_of_letters() -> None:
    """No head costs the square of its length: a line of spaces with a bad end takes about as long as a good line."""

    def cost(filler: bytes) -> float:
        head = b"GET /v1/rooms/x HTTP/1.1\r\nA:" + filler * 30_000 + b"\x01\r\n\r\n"
        took = []
        for _ in range(3):
            began = time.process_time()
            parse_common_head(head)
            with pytest.raises(ValueError, match="a header line is malformed"):
                parse_head(head)
            took.append(time.process_time() - began)
        return min(took)

    assert cost(b" ") < 100 * cost(b"x")  # it was more than 10,000 times
