"""The keys that verify tokens: one from the settings, or several by their `kid` in a JWK Set, which is read again when it changes.

Each key is prepared once, not for each token.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import HMACAlgorithm
from msgspec import Struct

from liveroom.config.schema import SECRET_BYTES_MIN, AuthConfig
from liveroom.messages.errors import BadConfig, BadToken
from liveroom.messages.fields import PRINTABLE_PATTERN

__all__ = ["KEYS_MAX", "Key", "Keys"]

#: Limit of the keys in one file.
KEYS_MAX: Final = 100
FILE_BYTES_MAX: Final = 1024 * 1024
#: The `kid`s of the last removed keys are remembered. Clients with such tokens are asked for a new token instead of being refused for good.
REVOKED_MAX: Final = 1_000
#: RFC 7518, 3.3.
RSA_BITS_MIN: Final = 2_048

_PRIVATE: Final = "is a private key; only the public one belongs here"


class _PreparedHmac(HMACAlgorithm):
    """An HMAC whose secret was checked when it was read. PyJWT would parse it as a certificate for every token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key


class Key(Struct, frozen=True):
    """A key of the pinned algorithm; `id` identifies its name and content."""

    id: str
    jwk: jwt.PyJWK


class Keys:
    """All trusted keys. Raises `BadConfig` without a usable key."""

    def __init__(self, auth: AuthConfig, secret: str = "") -> None:
        self._auth = auth
        self._alone = self._by_settings(secret)
        self._named: dict[str, Key] = {}
        self._revoked: dict[str, None] = {}  # by kid, the newest last
        self.generation = 0  # changes after each change of the keys
        self._seen = self._look()
        if auth.keys_file:
            self._named = self._read()
        elif self._alone is None:
            words = 'auth.secret: is not set; set LIVEROOM_AUTH_SECRET or auth.secret_file, or use mode = "dev"'
            raise BadConfig(words if auth.algorithm.startswith("HS") else "auth.public_key_file: is not set")

    @property
    def count(self) -> int:
        """The number of keys."""
        return len(self._named) + (self._alone is not None)

    def find(self, token: str) -> Key:
        """The key that a token names.

        A token without a name gets the key of the settings, or the only one.
        Raises `BadToken`, `jwt.PyJWTError`.
        """
        if not self._named and self._alone is not None:
            return self._alone
        kid = jwt.get_unverified_header(token).get("kid")
        if kid is not None and (key := self._named.get(kid)) is not None:
            return key
        if kid in self._revoked:
            raise BadToken("token_expired", "the token's key is not valid any more; come back with a fresh token")
        if self._alone is not None:
            return self._alone
        if kid is None and len(self._named) == 1:
            return next(iter(self._named.values()))
        raise BadToken("bad_token", "the token names no key that is known here" if kid is None else "the token names a key that is not known here")

    def reload(self) -> frozenset[str] | None:
        """Look at the file again.
        Gives the ids of revoked keys, or `None` when the file did not change.

        Raises: `BadConfig` once for unusable content; the keys then stay as they are.
        """
        if (seen := self._look()) == self._seen:
            return None
        self._seen = seen
        before, named = self._named, self._read()
        valid = {key.id for key in named.values()}
        gone = {kid: key.id for kid, key in before.items() if key.id not in valid}
        revoked = list({**self._revoked, **dict.fromkeys(gone)})[-REVOKED_MAX:]
        # The order matters: a token that is checked in between finds its key, or learns that the key was revoked.
        self._revoked = dict.fromkeys(kid for kid in revoked if kid not in named)
        self._named = named
        self.generation += 1
        return frozenset(gone.values())

    def _look(self) -> tuple[int, ...]:
        """The attributes that change with the file."""
        if not self._auth.keys_file:
            return ()
        try:
            found = os.stat(self._auth.keys_file)
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _by_settings(self, secret: str) -> Key | None:
        auth = self._auth
        if secret:
            return _key("", _jwk_of(secret.encode()), auth.algorithm, "auth.secret")
        if auth.public_key_file and not auth.algorithm.startswith("HS"):
            return _key("", _jwk_of_pem(auth), auth.algorithm, f"auth.public_key_file: {auth.public_key_file}")
        return None

    def _read(self) -> dict[str, Key]:
        where = f"auth.keys_file: {self._auth.keys_file}"
        try:
            content = _content(self._auth.keys_file)
            found = orjson.loads(content) if len(content) <= FILE_BYTES_MAX else None
        except OSError as error:
            raise BadConfig(f"{where}: {error.strerror}") from None
        except ValueError:
            raise BadConfig(f"{where}: is not JSON") from None
        entries = found.get("keys") if isinstance(found, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise BadConfig(f'{where}: is no JWK Set of at most {FILE_BYTES_MAX} bytes: {{"keys": [...]}}')
        keys: dict[str, Key] = {}
        for entry in self._ours(entries):
            kid = entry.get("kid")
            if not isinstance(kid, str) or not _is_kid(kid):
                raise BadConfig(f"{where}: a key has no kid of 1 to 128 printable ASCII characters")
            if kid in keys:
                raise BadConfig(f"{where}: two keys have the kid {kid}")
            keys[kid] = _key(kid, entry, self._auth.algorithm, f"{where}: key {kid}")
        if not 1 <= len(keys) <= KEYS_MAX:
            raise BadConfig(f"{where}: holds {len(keys)} keys for {self._auth.algorithm}; there must be 1 to {KEYS_MAX}")
        return keys

    def _ours(self, entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The entries for signatures with the pinned algorithm; a platform's set may hold others."""
        for entry in entries:
            if entry.get("use", "sig") == "sig" and entry.get("alg", self._auth.algorithm) == self._auth.algorithm:
                yield entry


def _content(path: str) -> bytes:
    """The content of a regular file; opening another kind could block forever. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)


def _is_kid(kid: str) -> bool:
    return len(kid) <= 128 and re.search(PRINTABLE_PATTERN, kid) is not None


def _jwk_of(secret: bytes) -> dict[str, Any]:
    return {"kty": "oct", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}


def _jwk_of_pem(auth: AuthConfig) -> dict[str, Any]:
    where = f"auth.public_key_file: {auth.public_key_file}"
    try:
        text = Path(auth.public_key_file).read_text(encoding="ascii")
    except OSError as error:
        raise BadConfig(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{where}: is not text") from None
    algorithm = jwt.get_algorithm_by_name(auth.algorithm)
    try:
        key = algorithm.prepare_key(text)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise BadConfig(f"{where}: is no PEM public key for {auth.algorithm}") from None
    if not hasattr(key, "verify"):
        raise BadConfig(f"{where}: {_PRIVATE}")
    jwk: dict[str, Any] = algorithm.to_jwk(key, as_dict=True)
    return jwk


def _key(kid: str, entry: dict[str, Any], algorithm: str, where: str) -> Key:
    """A key from its JWK. Raises `BadConfig` for a private, weak or unsuitable key."""
    if "d" in entry:
        raise BadConfig(f"{where}: {_PRIVATE}")
    try:
        jwk = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        raise BadConfig(f"{where}: is no key for {algorithm}") from None
    key = jwk.key
    if isinstance(key, bytes):
        least = SECRET_BYTES_MIN.get(algorithm)
        if least is None:
            raise BadConfig(f"{where}: is no key for {algorithm}")
        if len(key) < least:
            raise BadConfig(f"{where}: holds fewer than the {least} bytes that {algorithm} needs")
        assert isinstance(jwk.Algorithm, HMACAlgorithm)
        jwk.Algorithm = _PreparedHmac(jwk.Algorithm.hash_alg)
    elif isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        raise BadConfig(f"{where}: has {key.key_size} bits; {algorithm} needs {RSA_BITS_MIN}")
    elif isinstance(key, EllipticCurvePublicKey) and not isinstance(key.curve, SECP256R1):
        raise BadConfig(f"{where}: is on the curve {key.curve.name}; {algorithm} needs P-256")
    material = orjson.dumps({name: value for name, value in entry.items() if name in _MATERIAL}, option=orjson.OPT_SORT_KEYS)
    return Key(f"{kid}:{sha256(material).hexdigest()[:16]}", jwk)


#: The members of a JWK that form the key (RFC 7638).
_MATERIAL: Final = frozenset({"kty", "k", "n", "e", "crv", "x", "y"})
