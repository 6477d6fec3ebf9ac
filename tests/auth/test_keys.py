"""Several keys by their `kid`: exchanged without a restart, each fit for the pinned algorithm, prepared once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from liveroom.auth.keys import KEYS_MAX, Keys
from liveroom.auth.tokens import TokenChecker
from liveroom.config.schema import AuthConfig
from liveroom.messages.errors import BadConfig, BadToken
from tests.auth.test_tokens import KEYS, SECRET, claims, key_file, private_pem, public_pem


def jwk_of(key: Any, algorithm: str, **more: str) -> dict[str, Any]:
    """The public half of a key, as platforms publish it."""
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(key if isinstance(key, str) else key.public_key(), as_dict=True)
    return {name: value for name, value in {**made, **more}.items() if name != "key_ops"}


def rsa_key(bits: int = 2_048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def written(path: Path, *entries: dict[str, Any]) -> str:
    """A file of keys, put in its place at once."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"keys": entries}))
    os.replace(draft, path)
    return str(path)


def token(key: Any, algorithm: str, kid: str | None) -> str:
    return jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def refused(checker: TokenChecker, text: str) -> str:
    with pytest.raises(BadToken) as caught:
        checker.check(text)
    return caught.value.code


@pytest.mark.parametrize("algorithm", [*KEYS, "HS256", "HS512"])
def test_a_token_is_verified_with_the_key_that_it_names(algorithm: str, tmp_path: Path) -> None:
    """The rule holds for every algorithm; a token that names another or an unknown key does not verify."""
    hmac = algorithm.startswith("HS")
    one, other = ("1" * 64, "2" * 64) if hmac else (KEYS[algorithm], {**KEYS, "RS256": rsa_key(), "PS256": rsa_key()}.get(algorithm))
    if algorithm == "ES256":
        other = ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        other = ed25519.Ed25519PrivateKey.generate()
    path = written(tmp_path / "jwks.json", jwk_of(one, algorithm, kid="one"), jwk_of(other, algorithm, kid="other"))
    checker = TokenChecker(AuthConfig(algorithm=algorithm, keys_file=path))  # type: ignore[arg-type]
    assert checker.check(token(one, algorithm, "one")).key != checker.check(token(other, algorithm, "other")).key
    for kid in ("other", "unknown", None):
        assert refused(checker, token(one, algorithm, kid)) == "bad_token"


def test_keys_are_exchanged_while_the_process_runs(tmp_path: Path) -> None:
    """A new key counts from the next check on. Tokens of a removed key are refused, and its id is reported."""
    old, new = rsa_key(), rsa_key()
    path = tmp_path / "jwks.json"
    checker = TokenChecker(AuthConfig(algorithm="RS256", keys_file=written(path, jwk_of(old, "RS256", kid="old"))))
    first = checker.check(token(old, "RS256", "old"))
    assert refused(checker, token(new, "RS256", "new")) == "bad_token"
    assert checker.keys.reload() is None
    written(path, jwk_of(old, "RS256", kid="old"), jwk_of(new, "RS256", kid="new"))
    assert checker.keys.reload() == frozenset()
    assert checker.check(token(new, "RS256", "new"))
    assert checker.check(token(old, "RS256", "old")).key == first.key
    written(path, jwk_of(new, "RS256", kid="new"))
    assert checker.keys.reload() == frozenset({first.key})
    assert refused(checker, token(old, "RS256", "old")) == "token_expired"
    assert checker.keys.count == 1


def test_another_key_of_the_same_name_ends_the_first(tmp_path: Path) -> None:
    """The key counts, not its name; other members of its entry may change."""
    path = tmp_path / "jwks.json"
    one, other = rsa_key(), rsa_key()
    checker = TokenChecker(AuthConfig(algorithm="RS256", keys_file=written(path, jwk_of(one, "RS256", kid="k"))))
    first = checker.check(token(one, "RS256", "k")).key
    written(path, jwk_of(one, "RS256", kid="k", use="sig", alg="RS256"))
    assert checker.keys.reload() == frozenset()
    written(path, jwk_of(other, "RS256", kid="k"))
    assert checker.keys.reload() == frozenset({first})
    assert checker.check(token(other, "RS256", "k")).key != first


def test_a_content_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    """Bad content is logged once, and the keys stay until good content is there."""
    path = tmp_path / "jwks.json"
    key = rsa_key()
    checker = TokenChecker(AuthConfig(algorithm="RS256", keys_file=written(path, jwk_of(key, "RS256", kid="k"))))
    for spoil in (lambda: path.write_text("{"), path.unlink):
        spoil()
        with pytest.raises(BadConfig, match=r"auth\.keys_file"):
            checker.keys.reload()
        assert checker.keys.reload() is None
        assert checker.check(token(key, "RS256", "k"))
    written(path, jwk_of(key, "RS256", kid="k"))
    assert checker.keys.reload() == frozenset()


def test_the_key_of_the_settings_stands_beside_those_of_the_file(tmp_path: Path) -> None:
    """For tokens without a name or with one that the file does not know: a platform that begins to name its keys need not do so at once."""
    path = written(tmp_path / "jwks.json", jwk_of("n" * 64, "HS256", kid="new"))
    checker = TokenChecker(AuthConfig(keys_file=path), SECRET)
    for key, kid in ((SECRET, None), (SECRET, "whatever"), ("n" * 64, "new")):
        assert checker.check(token(key, "HS256", kid)).user == "u1"
    assert refused(checker, token("n" * 64, "HS256", None)) == "bad_token"
    assert TokenChecker(AuthConfig(keys_file=path)).check(token("n" * 64, "HS256", None)).user == "u1", "the only key needs no name"


def wrong(tmp_path: Path) -> dict[str, tuple[str, str]]:
    """Contents that are no key file for an algorithm, with the error of each."""
    good = jwk_of(rsa_key(), "RS256", kid="k")
    private = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(rsa_key()))
    cases: dict[str, tuple[str, Any, str]] = {
        "no JSON": ("RS256", "nonsense", "is not JSON"),
        "nested": ("RS256", "[" * 100_000, "is not JSON"),
        "no set": ("RS256", {"kty": "RSA"}, "is no JWK Set"),
        "empty": ("RS256", {"keys": []}, "holds 0 keys"),
        "of another algorithm": ("RS256", {"keys": [{**good, "alg": "RS512"}]}, "holds 0 keys"),
        "for encryption": ("RS256", {"keys": [{**good, "use": "enc"}]}, "holds 0 keys"),
        "no kid": ("RS256", {"keys": [{**good, "kid": None}]}, "has no kid"),
        "a kid with half a pair": ("RS256", {"keys": [{**good, "kid": "\ud83d"}]}, "is not JSON"),
        "twice": ("RS256", {"keys": [good, good]}, "two keys have the kid k"),
        "too many": ("RS256", {"keys": [{**good, "kid": f"k{n}"} for n in range(KEYS_MAX + 1)]}, "holds 101 keys"),
        "private": ("RS256", {"keys": [{**private, "kid": "k"}]}, "is a private key"),
        "weak": ("RS256", {"keys": [jwk_of(rsa_key(1_024), "RS256", kid="k")]}, "has 1024 bits"),
        "a broken key": ("RS256", {"keys": [{**good, "n": "!"}]}, "is no key for RS256"),
        "a secret for a public key": ("RS256", {"keys": [jwk_of("s" * 64, "HS256", kid="k")]}, "is no key for RS256"),
        "a public key for a secret": ("HS256", {"keys": [good]}, "is no key for HS256"),
        "a short secret": ("HS512", {"keys": [jwk_of("s" * 63, "HS256", kid="k")]}, "fewer than the 64 bytes"),
        "another curve": ("ES256", {"keys": [{**jwk_of(ec.generate_private_key(ec.SECP384R1()), "ES384", kid="k"), "alg": "ES256"}]}, ""),
    }
    found = {}
    for number, (name, (algorithm, content, words)) in enumerate(cases.items()):
        path = tmp_path / f"{number}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        found[name] = (algorithm + " " + str(path), words)
    return found


def test_what_is_no_file_of_keys_is_told_in_words(tmp_path: Path) -> None:
    """By its path and, where one key is wrong, by its kid."""
    for name, (where, words) in wrong(tmp_path).items():
        algorithm, path = where.split(" ", 1)
        with pytest.raises(BadConfig) as caught:
            Keys(AuthConfig(algorithm=algorithm, keys_file=path))  # type: ignore[arg-type]
        assert f"auth.keys_file: {path}" in str(caught.value), name
        assert words in str(caught.value), name


def test_a_pipe_is_no_file_of_keys(tmp_path: Path) -> None:
    """To open one would wait for a writer, without end."""
    os.mkfifo(tmp_path / "keys")
    with pytest.raises(BadConfig, match="is no regular file"):
        Keys(AuthConfig(keys_file=str(tmp_path / "keys")))


def test_what_cannot_be_read_leaves_no_descriptor(tmp_path: Path) -> None:
    """The file is looked at again and again: a directory, a pipe and a key all give back what was opened."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("no keys")
    before = len(os.listdir("/dev/fd"))
    for path in (tmp_path, tmp_path / "pipe"):
        for _ in range(3):
            with pytest.raises(BadConfig, match="is no regular file"):
                Keys(AuthConfig(keys_file=str(path)))
    with pytest.raises(BadConfig, match="is not JSON"):
        Keys(AuthConfig(keys_file=str(tmp_path / "text")))
    assert len(os.listdir("/dev/fd")) == before


def test_the_key_of_the_settings_has_to_fit(tmp_path: Path) -> None:
    """The check of the settings finds a private key, a weak one and one of another curve."""
    weak, curve = rsa_key(1_024), ec.generate_private_key(ec.SECP384R1())
    for algorithm, pem, words in (
        ("RS256", private_pem(KEYS["RS256"]), "is a private key"),
        ("RS256", public_pem(weak), "has 1024 bits"),
        ("ES256", public_pem(curve), "ES256"),
        ("ES256", public_pem(KEYS["RS256"]), "is no PEM public key"),
    ):
        with pytest.raises(BadConfig, match=words):
            Keys(AuthConfig(algorithm=algorithm, public_key_file=key_file(tmp_path, pem)))  # type: ignore[arg-type]


def test_a_key_is_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token makes PyJWT look at the secret again."""
    checker = TokenChecker(AuthConfig(), SECRET)
    text = token(SECRET, "HS256", None)

    def never(*_: object) -> bool:
        raise AssertionError("prepared again")

    monkeypatch.setattr("jwt.algorithms.is_pem_format", never)
    assert checker.check(text).user == "u1"


def test_a_token_within_the_leeway_is_believed_until_that_is_over() -> None:
    """The door and the gateway inside go by the same second."""
    checker, now = TokenChecker(AuthConfig(leeway_s=60), SECRET), int(time.time())
    assert checker.check(jwt.encode({**claims(), "exp": now - 5}, SECRET)).expires_s == now + 55
