"""The quick check of common tokens: it never accepts what PyJWT refuses, and gives the same identity."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from liveroom.auth.hmac_tokens import HEADERS_MAX, HmacTokens
from liveroom.auth.keys import Keys
from liveroom.auth.tokens import Identity, TokenChecker
from liveroom.config.schema import AuthConfig
from liveroom.messages.errors import BadToken
from tests.auth.test_keys import jwk_of, written
from tests.auth.test_tokens import SECRET, claims, token

#: Mutated tokens of one run. `LIVEROOM_TEST_FUZZ` raises the number.
TOKENS = int(os.environ.get("LIVEROOM_TEST_FUZZ", "3000"))


def of_pyjwt(auth: AuthConfig) -> TokenChecker:
    """A checker that asks PyJWT about every token."""
    checker = TokenChecker(auth, SECRET)
    checker._common = None
    return checker


def outcome(checker: TokenChecker, text: str) -> Identity | str:
    """The identity, or the code of the refusal."""
    try:
        return checker.check(text)
    except BadToken as error:
        return error.code


def signed(header: bytes, payload: bytes, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token with a true signature over any bytes."""
    head = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.new(secret.encode(), head, getattr(hashlib, digest)).digest()).rstrip(b"=")
    return (head + b"." + signature).decode()


def _header(chance: random.Random) -> bytes:
    header: dict[str, Any] = {"alg": chance.choice(["HS256"] * 12 + ["HS512", "none", "hs256", "RS256", 5])}
    if chance.random() < 0.7:
        header["typ"] = chance.choice(["JWT"] * 8 + ["jwt", "at+jwt", 1, None])
    if chance.random() < 0.2:
        header[chance.choice(["kid", "crit", "b64", "cty", "jwk", "x5u"])] = chance.choice(["one", ["b64"], False, None, 3])
    return json.dumps(header).encode()


def _payload(chance: random.Random) -> bytes:
    now = int(time.time())
    changes: dict[str, Any] = {}
    for name, values in (
        ("exp", [now + 60] * 6 + [now - 5, now, now + 0.5, "x", str(now + 60), True, -1, 10**30, now + 10**9, float("inf")]),
        ("iat", [None] * 4 + [now, now - 9, now + 3, now + 999, "now", 1.5, True]),
        ("nbf", [None] * 8 + [now - 5, now + 999, "x"]),
        ("sub", ["u1"] * 6 + ["", "u" * 65, 7, "u\u0000", "\ud800", "名"]),
        ("room", ["r1"] * 6 + ["*", "", "r" * 65, "r 1", None]),
        ("role", ["viewer"] * 5 + ["anchor", "platform", "moderator", "king", None]),
        ("name", [None] * 4 + ["Anna", " a\u202eb ", "x" * 300, "\ud83d", 5, ""]),
        ("buyer", [None] * 4 + [True, False, 1, "yes"]),
        ("aud", [None] * 9 + ["a"]),
        ("more", [None] * 9 + [{"deep": [1]}]),
    ):
        changes[name] = values[0] if chance.random() < 0.7 else chance.choice(values)
    text = json.dumps(claims(**changes))
    if chance.random() < 0.05:
        text = text[:-1] + f', "role": "{chance.choice(["anchor", "viewer"])}", "role": "viewer"}}'  # the same member twice
    encoding = "utf-16" if chance.random() < 0.02 else "utf-8-sig" if chance.random() < 0.02 else "utf-8"
    return text.encode(encoding, "surrogatepass") + (b" " if chance.random() < 0.05 else b"")


def _mutated(text: str, chance: random.Random) -> str:
    """The token with a few characters exchanged, inserted, removed or doubled."""
    letters = list(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(letters))
        match chance.randrange(5):
            case 0:
                letters[at] = chance.choice("AZaz09-_.=+/ \n\u0131é")
            case 1:
                letters.insert(at, chance.choice("Aa.=-_ \t"))
            case 2:
                del letters[at]
            case 3:
                letters[at] = letters[at].swapcase()
            case _:
                letters.append(chance.choice("=.A \n"))
    return "".join(letters)


def test_the_quick_check_never_accepts_what_pyjwt_refuses() -> None:
    """On mutated tokens, good and bad signatures, headers and claims, both checkers have the same outcome."""
    chance = random.Random(20261201)
    auth = AuthConfig(leeway_s=2)
    quick, slow = TokenChecker(auth, SECRET), of_pyjwt(auth)
    assert quick._common is not None
    by_quick = refused = 0
    for _ in range(TOKENS):
        text = signed(_header(chance), _payload(chance), SECRET if chance.random() < 0.9 else "t" * 64, chance.choice(["sha256"] * 9 + ["sha512"]))
        if chance.random() < 0.4:
            text = _mutated(text, chance)
        found, expected = outcome(quick, text), outcome(slow, text)
        if found != expected:  # a token may have expired between the two checks
            expected = outcome(slow, text)
        assert found == expected, text
        by_quick += quick._common.check(text, time.time()) is not None
        refused += isinstance(found, str)
    assert by_quick > TOKENS / 100
    assert refused > TOKENS / 3


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_common_token_needs_no_pyjwt(algorithm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain HMAC token, with `iat` and a name or without, is accepted without PyJWT."""
    checker = TokenChecker(AuthConfig(algorithm=algorithm), SECRET)
    checker.check(token(algorithm=algorithm))
    monkeypatch.setattr("jwt.decode", None)
    for more in ({}, {"name": "Anna", "buyer": True}, {"iat": int(time.time())}):
        assert checker.check(token(algorithm=algorithm, **more)).user == "u1"


def test_a_prepared_key_judges_each_token_by_itself() -> None:
    """The key is prepared once, and no token leaves anything in it: signatures fit their own tokens only, in any order."""
    checker = TokenChecker(AuthConfig(), SECRET)
    tokens = {user: token(sub=user) for user in ("u1", "u2", "u3")}
    for user in ("u1", "u2", "u1", "u3", "u2"):
        assert checker.check(tokens[user]).user == user
        forged = tokens[user].rpartition(".")[0] + "." + tokens["u2" if user == "u1" else "u1"].rpartition(".")[2]
        with pytest.raises(BadToken, match="signature"):
            checker.check(forged)


def test_asked_for_issuer_and_audience_are_pyjwts_to_judge() -> None:
    """With `auth.issuer` or `auth.audience`, no token takes the quick way."""
    assert TokenChecker(AuthConfig(issuer="shop"), SECRET)._common is None
    assert TokenChecker(AuthConfig(audience="live"), SECRET)._common is None


def test_a_revoked_key_is_forgotten_at_once(tmp_path: Path) -> None:
    """After the file of keys changed, a remembered header text names its new key or none."""
    path = tmp_path / "keys.json"
    keys = [jwk_of(letter * 64, "HS256", kid="one", alg="HS256") for letter in "ab"]
    checker = TokenChecker(AuthConfig(keys_file=written(path, keys[0])))
    first, second = (token("a" * 64, headers={"kid": "one"}), token("b" * 64, headers={"kid": "one"}))
    assert checker.check(first).user == "u1"
    written(path, keys[1])
    checker.keys.reload()
    assert checker.check(second).user == "u1"
    with pytest.raises(BadToken, match="signature"):
        checker.check(first)


def test_headers_are_remembered_up_to_a_limit() -> None:
    """A client that invents headers fills no memory, and its tokens are judged as before."""
    auth = AuthConfig()
    common = HmacTokens("HS256", Keys(auth, SECRET))
    for number in range(HEADERS_MAX + 5):
        text = signed(json.dumps({"alg": "HS256", "kid": str(number)}).encode(), json.dumps(claims()).encode())
        assert common.check(text, time.time()) is not None
    assert len(common._known) == HEADERS_MAX
