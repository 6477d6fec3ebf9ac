"""Tokens: only what the pinned algorithm and key verify is believed, and no error ever shows a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from liveroom.auth.tokens import ANY_ROOM, TOKEN_CHARS_MAX, Identity, TokenChecker, bearer_token, kept_secret, load_secret, make_token
from liveroom.config.schema import AuthConfig, Config, LiveroomConfig
from liveroom.messages.errors import BadConfig, BadToken
from liveroom.messages.fields import Role
from liveroom.messages.text import first_forbidden

SECRET = "s" * 64
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "PS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def claims(**changes: Any) -> dict[str, Any]:
    given = {"sub": "u1", "room": "r1", "role": "viewer", "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in given.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem


def key_file(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    return str(path)


def refused(checker: TokenChecker, text: str) -> BadToken:
    with pytest.raises(BadToken) as caught:
        checker.check(text)
    return caught.value


def test_a_good_token_says_who_someone_is() -> None:
    """`sub`, `room`, `role`, `exp`, and when given `name` and `buyer`, become an identity."""
    exp = int(time.time()) + 60
    checker = TokenChecker(AuthConfig(leeway_s=10), SECRET)
    key = checker.check(token()).key
    assert checker.check(token(exp=exp)) == Identity("u1", "u1", Role.viewer, "r1", exp + 10, key=key)
    assert checker.check(token(exp=exp, name="小明", buyer=True, role="anchor")) == Identity("u1", "小明", Role.anchor, "r1", exp + 10, True, key)


def test_a_token_made_here_is_taken_here() -> None:
    """`make_token` and `TokenChecker` agree, with issuer and audience too."""
    for auth in (AuthConfig(), AuthConfig(issuer="shop", audience="liveroom"), AuthConfig(algorithm="HS512")):
        made = make_token(SECRET, auth, user="u1", room="r1", role=Role.moderator, lifetime_s=60, name="Ann", buyer=True)
        identity = TokenChecker(auth, SECRET).check(made)
        assert (identity.user, identity.name, identity.role, identity.room, identity.buyer) == ("u1", "Ann", Role.moderator, "r1", True)


def test_any_room_is_for_the_platform_only() -> None:
    """A token for `*` enters every room if its role is platform, and none otherwise."""
    checker = TokenChecker(AuthConfig(), SECRET)
    checker.check(token()).check_room("r1")
    checker.check(token(room=ANY_ROOM, role="platform")).check_room("r2")
    for text, words in (
        (token(), "another room"),
        (token(room=ANY_ROOM, role="anchor"), "for the role platform only, and this token's role is anchor"),
    ):
        with pytest.raises(BadToken, match=words) as refusal:
            checker.check(text).check_room("r2")
        assert refusal.value.code == "wrong_room"


BAD_CLAIMS: list[tuple[str, dict[str, Any], str, str]] = [
    ("expired", {"exp": 1}, "token_expired", "expired"),
    ("no exp", {"exp": None}, "bad_token", "exp"),
    ("exp is text", {"exp": "soon"}, "bad_token", "exp"),
    ("exp is infinite", {"exp": float("inf")}, "bad_token", "exp"),
    ("exp has 400 digits", {"exp": 10**400}, "bad_token", "lives longer"),
    ("lives too long", {"exp": int(time.time()) + 700_000}, "bad_token", "lives longer than 604800 s"),
    ("not valid yet", {"nbf": int(time.time()) + 86_400}, "bad_token", "not yet valid"),
    ("no sub", {"sub": None}, "bad_token", "sub"),
    ("sub is a number", {"sub": 1}, "bad_token", "ub"),
    ("empty sub", {"sub": ""}, "bad_token", "claim sub"),
    ("a space in sub", {"sub": "a b"}, "bad_token", "printable ASCII characters without spaces"),
    ("a newline after sub", {"sub": "a\n"}, "bad_token", "printable ASCII characters without spaces"),
    ("sub is not ASCII", {"sub": "ü"}, "bad_token", "printable ASCII characters without spaces"),
    ("sub too long", {"sub": "x" * 129}, "bad_token", "claim sub"),
    ("no room", {"room": None}, "bad_token", "room"),
    ("room is a number", {"room": 1}, "bad_token", "claim room"),
    ("no role", {"role": None}, "bad_token", "role"),
    ("unknown role", {"role": "boss"}, "bad_token", "claim role"),
    ("a very long role", {"role": "x" * 2_000}, "bad_token", "claim role"),
    ("name is a number", {"name": 1}, "bad_token", "claim name"),
    ("half a pair in sub", {"sub": "anna\ud83d"}, "bad_token", "claim sub"),
    ("half a pair in room", {"room": "r1\ud83d"}, "bad_token", "claim room"),
    ("half a pair in role", {"role": "\ud83d"}, "bad_token", "claim role"),
    ("a bidi override in role", {"role": "\u202eviewer"}, "bad_token", "claim role"),
    ("a room that is none", {"room": "no room"}, "bad_token", "claim room"),
    ("buyer is a number", {"buyer": 1}, "bad_token", "claim buyer"),
]


@pytest.mark.parametrize(("changes", "code", "words"), [pytest.param(*rest, id=name) for name, *rest in BAD_CLAIMS])
def test_a_wrong_claim_is_named(changes: dict[str, Any], code: str, words: str) -> None:
    """A token that verifies but says too little, too much or nonsense is refused, and the claim named."""
    error = refused(TokenChecker(AuthConfig(), SECRET), token(**changes))
    assert error.code == code
    assert words in error.detail
    assert len(error.detail) <= 210
    assert not first_forbidden(str(error))
    assert not first_forbidden(error.detail)


@pytest.mark.parametrize(
    "user", ["auth0|507f1f77bcf86cd799439011", "a+b@x.com", "_x", "-x", "=1+1", "google-oauth2|1", "urn:uuid:1/2?3#4", "\"\\<&>'%2f", "x" * 128]
)
def test_a_user_id_is_as_platforms_make_them(user: str) -> None:
    """Up to 128 printable ASCII characters without spaces, unchanged; it stands for the name that is missing, cut to what a name may be."""
    identity = TokenChecker(AuthConfig(), SECRET).check(token(sub=user))
    assert (identity.user, identity.name) == (user, user[:64])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Anna \ud83d", "Anna"),
        ("\udc00", "u1"),
        ("Eve\u202e\x9b\x7f\n!", "Eve!"),
        ("", "u1"),
        (None, "u1"),
        ("\u200b ", "u1"),
        ("x" * 65, "x" * 64),
        ("👨‍👩‍👧‍👦" * 10, "👨‍👩‍👧‍👦" * 9),
    ],
    ids=ascii,
)
def test_a_name_is_cleaned_and_cut(name: str | None, shown: str) -> None:
    """No name keeps its viewer out: what cannot be shown goes, what is too long is cut, and the user id stands for what is left of nothing."""
    text = jwt.encode({**claims(), "name": name}, SECRET)
    assert TokenChecker(AuthConfig(), SECRET).check(text).name == shown


def test_numbers_and_nothing_as_platforms_write_them() -> None:
    """RFC 7519 allows fractions of a second in `exp`, `nbf` and `iat`; a `buyer` of null is none."""
    now = time.time()
    identity = TokenChecker(AuthConfig(leeway_s=0), SECRET).check(
        jwt.encode({**claims(), "exp": now + 60.5, "nbf": now - 0.5, "iat": now - 0.5, "buyer": None}, SECRET)
    )
    assert (identity.expires_s, identity.buyer) == (int(now + 60.5), False)


def test_clocks_may_differ_by_the_leeway() -> None:
    """A token that expired within `leeway_s` is still taken, one beyond it is not."""
    just_expired = token(exp=int(time.time()) - 5)
    assert TokenChecker(AuthConfig(leeway_s=60), SECRET).check(just_expired).user == "u1"
    assert refused(TokenChecker(AuthConfig(leeway_s=0), SECRET), just_expired).code == "token_expired"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aud": "liveroom"}, "the claim iss is missing (auth.issuer asks for it)"),
        ({"iss": "shop"}, "the claim aud is missing (auth.audience asks for it)"),
        ({"iss": "other", "aud": "liveroom"}, "the claim iss is not shop (auth.issuer)"),
        ({"iss": "shop", "aud": "other"}, "the claim aud does not name liveroom (auth.audience)"),
        ({"iss": "shop", "aud": 7}, "the claim aud does not name liveroom (auth.audience)"),
    ],
)
def test_what_a_setting_asks_for_is_told_with_the_setting(changes: dict[str, Any], words: str) -> None:
    """The words are ours: they say which setting asks for what, and no library's release changes them."""
    assert refused(TokenChecker(AuthConfig(issuer="shop", audience="liveroom"), SECRET), token(**changes)).detail == words


NO_JWT = "this is no JWT: expected three parts of base64url with dots between, the first two JSON objects"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", NO_JWT),
        ("a.b.c", NO_JWT),
        (jwt.PyJWS().encode(b"[1]", SECRET), NO_JWT),
        (token(exp="soon"), "the claims exp, nbf and iat must be numbers"),
        (token(nbf="soon"), "the claims exp, nbf and iat must be numbers"),
        (token(iat="soon"), "the claims exp, nbf and iat must be numbers"),
        (token(exp=float("inf")), "the claims exp, nbf and iat must be numbers"),
        (jwt.encode(claims(), SECRET * 2, algorithm="HS384"), "the token is not signed with HS256 (auth.algorithm)"),
        (jwt.encode({**claims(), "sub": 7, "exp": 2**32}, SECRET), "the claim sub is wrong: expected a text, got a whole number"),
    ],
)
def test_what_does_not_verify_is_told_in_our_words(text: str, words: str) -> None:
    """No form of a token that cannot be believed is answered with a library's words."""
    error = refused(TokenChecker(AuthConfig(), SECRET), text)
    assert (error.code, error.detail) == ("bad_token", words)


@pytest.mark.parametrize("changes", [{}, {"iss": "other", "aud": "liveroom"}, {"iss": "shop", "aud": "other"}, {"iss": "shop"}, {"aud": "liveroom"}])
def test_issuer_and_audience_are_required_when_set(changes: dict[str, Any]) -> None:
    """With `issuer` and `audience` set, a token without them or with others is refused."""
    checker = TokenChecker(AuthConfig(issuer="shop", audience="liveroom"), SECRET)
    assert refused(checker, token(**changes)).code == "bad_token"
    assert checker.check(token(iss="shop", aud=["x", "liveroom"])).user == "u1"


def test_issuer_and_audience_are_not_looked_at_when_not_set() -> None:
    """A platform that puts `iss` and `aud` into its tokens need not configure them."""
    assert TokenChecker(AuthConfig(), SECRET).check(token(iss="shop", aud="web")).user == "u1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "....",
        "x" * (TOKEN_CHARS_MAX + 1),
        "ü.ü.ü",
        "\ud800.a.b",
        " " + "a.b.c",
        forged({"alg": "none"}, {"sub": "u1", "room": "r1", "role": "anchor", "exp": 9_999_999_999}),
        forged({"alg": "None"}, {"sub": "u1"}),
        forged({"alg": ""}, {"sub": "u1"}),
        forged({"alg": None}, {"sub": "u1"}),
        forged({}, {"sub": "u1"}),
        forged({"alg": "HS256"}, {"sub": "u1"}),
        forged({"alg": "HS256"}, {"sub": "u1"}, b"x" * 32),
        forged({"alg": "HS256", "crit": ["exp"], "b64": False}, {"sub": "u1"}, b"x" * 32),
        base64.urlsafe_b64encode(b"[" * 2_900).decode().rstrip("=") + ".e30.AA",
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_what_does_not_verify_is_refused(text: str) -> None:
    """Nonsense, unsigned tokens and hand-made headers are `bad_token`, never another exception."""
    error = refused(TokenChecker(AuthConfig(), SECRET), text)
    assert error.code == "bad_token"
    assert len(error.detail) <= 210
    assert not first_forbidden(str(error))
    assert not first_forbidden(error.detail)


def test_a_token_signed_with_another_secret_is_refused() -> None:
    """The signature counts, and so does every character of it and of the payload."""
    checker = TokenChecker(AuthConfig(), SECRET)
    assert refused(checker, token("t" * 64)).detail == "the signature is not by the key that this server checks with"
    head, _, signature = token().split(".")
    other = forged({"alg": "HS256"}, claims(role="anchor")).split(".")[1]
    assert refused(checker, f"{head}.{other}.{signature}").code == "bad_token"


def test_only_the_pinned_algorithm_is_taken() -> None:
    """A token by another algorithm is refused, also when its signature is good by the same secret."""
    assert refused(TokenChecker(AuthConfig(algorithm="HS512"), SECRET), token(algorithm="HS256")).code == "bad_token"
    assert refused(TokenChecker(AuthConfig(algorithm="HS256"), SECRET), token(algorithm="HS512")).code == "bad_token"


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_public_key_algorithms_work_with_the_public_key_alone(algorithm: Any, tmp_path: Path) -> None:
    """The public key verifies tokens that the private key signed, and no others."""
    auth = AuthConfig(algorithm=algorithm, public_key_file=key_file(tmp_path, public_pem(KEYS[algorithm])))
    checker = TokenChecker(auth, load_secret(Config(auth=auth)))
    assert checker.check(token(KEYS[algorithm], algorithm)).user == "u1"
    stranger = {
        "RS256": KEYS["PS256"],
        "PS256": KEYS["RS256"],
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }[algorithm]
    assert refused(checker, token(stranger, algorithm)).code == "bad_token"
    with pytest.raises(BadConfig, match="signed by the holder of the private key"):
        make_token("", auth, user="u1", room="r1", role=Role.viewer, lifetime_s=60)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_the_public_key_is_no_shared_secret(algorithm: Any, tmp_path: Path) -> None:
    """A token signed HS256 with the text of the public key, which everyone may know, is refused."""
    pem = public_pem(KEYS[algorithm])
    checker = TokenChecker(AuthConfig(algorithm=algorithm, public_key_file=key_file(tmp_path, pem)))

    unsigned = forged({"alg": "HS256", "typ": "JWT"}, claims(role="platform", room="*")).rpartition(".")[0]
    for key in (pem, pem.strip()):
        signature = base64.urlsafe_b64encode(hmac.digest(key, unsigned.encode(), hashlib.sha256)).rstrip(b"=").decode()
        assert refused(checker, f"{unsigned}.{signature}").code == "bad_token"
    assert refused(checker, forged({"alg": "none"}, claims())).code == "bad_token"


@pytest.mark.parametrize(
    ("algorithm", "content", "words"),
    [
        ("RS256", b"no key", "is no PEM public key for RS256"),
        ("RS256", b"", "is no PEM public key for RS256"),
        ("RS256", public_pem(KEYS["ES256"]), "is no PEM public key for RS256"),
        ("ES256", public_pem(KEYS["RS256"]), "is no PEM public key for ES256"),
        ("ES256", public_pem(ec.generate_private_key(ec.SECP384R1())), "is no PEM public key for ES256"),
        ("EdDSA", public_pem(KEYS["ES256"]), "is no PEM public key for EdDSA"),
        ("RS256", private_pem(KEYS["RS256"]), "is a private key"),
        ("EdDSA", private_pem(KEYS["EdDSA"]), "is a private key"),
        ("RS256", b"\xff", "is not text"),
    ],
)
def test_a_key_file_that_does_not_fit_is_a_config_error(algorithm: Any, content: bytes, words: str, tmp_path: Path) -> None:
    """A wrong key is an error at the start that names the file, not one with every viewer's token."""
    path = key_file(tmp_path, content)
    with pytest.raises(BadConfig) as caught:
        TokenChecker(AuthConfig(algorithm=algorithm, public_key_file=path))
    assert words in str(caught.value)
    assert path in str(caught.value)


def test_a_missing_key_or_secret_is_a_config_error(tmp_path: Path) -> None:
    """Outside dev mode no secret is invented: the error names the missing setting."""
    with pytest.raises(BadConfig, match=r"auth\.public_key_file: is not set"):
        TokenChecker(AuthConfig(algorithm="ES256"))
    with pytest.raises(BadConfig, match="No such file"):
        TokenChecker(AuthConfig(algorithm="ES256", public_key_file=str(tmp_path / "none")))
    with pytest.raises(BadConfig, match=r"auth\.secret: is not set"):
        TokenChecker(AuthConfig())
    with pytest.raises(BadConfig, match=r"auth\.secret: is not set"):
        load_secret(Config())


def test_the_secret_comes_from_the_setting_or_its_file(tmp_path: Path) -> None:
    """A secret in a file may end with a newline; one that is too short for its algorithm is refused without being shown."""
    path = key_file(tmp_path, b"f" * 40 + b"\n")
    assert load_secret(Config(auth=AuthConfig(secret=SECRET))) == SECRET
    assert load_secret(Config(auth=AuthConfig(secret_file=path))) == "f" * 40
    with pytest.raises(BadConfig, match="holds fewer than the 64 bytes that HS512 needs") as caught:
        load_secret(Config(auth=AuthConfig(secret_file=path, algorithm="HS512")))
    assert "ffff" not in str(caught.value)


def dev(path: Path) -> Config:
    return Config(liveroom=LiveroomConfig(mode="dev", data_dir=str(path)))


def test_dev_mode_makes_one_secret_and_keeps_it(tmp_path: Path) -> None:
    """The secret is made once, for its owner's eyes only, and is long enough for every algorithm."""
    secret = load_secret(dev(tmp_path / "new" / "data"))
    assert load_secret(dev(tmp_path / "new" / "data")) == secret
    assert len(secret) >= 64
    (path,) = (tmp_path / "new" / "data").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secret(dev(tmp_path / "other")) != secret


def test_a_secret_of_another_owner_is_used_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A file, or a mount, whose permissions this process may not change still holds the secret."""
    path = tmp_path / "secret"
    first = kept_secret(path)
    path.chmod(0o644)

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chmod", refused)
    assert kept_secret(path) == first
    assert "others can read a secret" in caplog.text


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_a_damaged_dev_secret_is_told_and_kept(content: bytes, tmp_path: Path) -> None:
    """A file that was cut short is not silently replaced: tokens made with the old one may be about."""
    load_secret(dev(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(BadConfig, match="delete it to have a new one made") as caught:
        load_secret(dev(tmp_path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_data_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    """When the secret cannot be kept the reason is given."""
    (tmp_path / "data").write_text("")
    with pytest.raises(BadConfig, match="a secret is kept there"):
        load_secret(dev(tmp_path / "data"))


def test_processes_that_start_together_end_with_one_secret(tmp_path: Path) -> None:
    """However many processes make the first secret at once, all use the same, and no draft is left."""
    program = (
        "import sys; from pathlib import Path; from liveroom.config.schema import *; from liveroom.config.schema import LiveroomConfig\n"
        "from liveroom.auth.tokens import load_secret\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"print(load_secret(Config(liveroom=LiveroomConfig(mode='dev', data_dir={str(tmp_path / 'data')!r}))))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(4)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = {process.communicate(timeout=60)[0] for process in started}
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert len(said) == 1
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["dev-secret"]


def _pieces(text: str) -> list[str]:
    return [piece for piece in (text, *text.split(".")) if len(piece) >= 12]


@given(st.integers(0, 400), st.integers(0, 3), st.text('abcXYZ019_-.{}"', max_size=3), st.booleans())
@hypothesis_settings(max_examples=300)
def test_no_error_shows_the_token(place: int, removed: int, inserted: str, good: bool) -> None:
    """However a token is damaged, the refusal's words hold no part of it."""
    whole = token() if good else token(role="boss")
    damaged = whole[:place] + inserted + whole[place + removed :]
    try:
        TokenChecker(AuthConfig(), SECRET).check(damaged)
    except BadToken as error:
        words = str(error)
    else:
        words = ""
    assert not [piece for piece in _pieces(damaged) if piece in words]


@given(st.text(max_size=300) | st.text("ey.JhbGciOi", max_size=60))
@hypothesis_settings(max_examples=200)
def test_random_text_raises_nothing_but_bad_token(text: str) -> None:
    """Whatever a client calls its token, the answer is `BadToken`."""
    refused(TokenChecker(AuthConfig(), SECRET), text)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ((), None),
        (("Basic x",), None),
        (("Bearer a.b.c",), "a.b.c"),
        (("Basic x", "bearer  a.b.c "), "a.b.c"),
        (("Bearer ", "Bearer a.b.c"), ""),
        (("Bearerx a.b.c",), None),
    ],
)
def test_a_bearer_token_is_found_beside_other_schemes(headers: tuple[str, ...], token: str | None) -> None:
    """The first Bearer counts, in any case; an empty one is there and does not verify."""
    assert bearer_token(headers) == token
