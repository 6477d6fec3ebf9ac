"""Verifies the common token in a few microseconds: an HMAC and plain claims. PyJWT judges every other token.

How it works. A token has three parts: header, claims and signature. Nearly all tokens of a platform have the same header text, so its judgment
is remembered. The signature must be the exact text that this server would write. The claims must be the plain ones, with their exact types.
Anything else, wrong or only unusual, gives `None`: the caller then asks PyJWT, which also words every refusal.
So this module never accepts a token that PyJWT refuses, and never refuses one.
"""

from __future__ import annotations

import hmac
import re
from binascii import a2b_base64, b2a_base64
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from liveroom.auth.claims import TokenClaims
from liveroom.auth.keys import Key, Keys

__all__ = ["HmacTokens"]

#: Header texts that are remembered. More of them come only from clients that invent headers.
HEADERS_MAX: Final = 64

#: Hash functions of RFC 7518, 3.2, by algorithm.
_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]{2,512})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"===", b"==", b"=")  # by the length modulo 4


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    typ: str = "JWT"
    kid: str | UnsetType = UNSET  # PyJWT refuses `null`


class _PlainClaims(TokenClaims, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The claims of the common token, whose times need no interpretation."""

    exp: int
    iat: int = 0


class HmacTokens:
    """Verifies common tokens that are signed by `keys` with `algorithm`."""

    def __init__(self, algorithm: str, keys: Keys) -> None:
        self._algorithm = algorithm
        self._digest = _DIGESTS.get(algorithm, "")
        self._keys = keys
        self._generation = keys.generation
        # The key and its prepared HMAC, by header text; `None` for a header that PyJWT must judge.
        self._known: dict[str, tuple[Key, hmac.HMAC] | None] = {}

    def check(self, token: str, now_s: float) -> tuple[TokenClaims, Key] | None:
        """The claims of a valid common token and the key that verified it; `None` if PyJWT has to judge it."""
        found = _TOKEN.fullmatch(token)
        if found is None or not self._digest:
            return None
        header, payload, signature = found.groups()
        if (generation := self._keys.generation) != self._generation:  # a thread read the keys again
            self._generation, self._known = generation, {}
        named = self._known[header] if header in self._known else self._look_at(header, token)
        if named is None:
            return None
        key, prepared = named
        mac = prepared.copy()  # cheaper than to begin with the secret, for which OpenSSL looks up and sets up the hash function
        mac.update(token[: found.start(3) - 1].encode())
        if not hmac.compare_digest(_base64url(mac.digest()), signature.encode()):
            return None
        try:
            claims = msgspec.json.decode(_decoded(payload), type=_PlainClaims)
        except ValueError:  # from base64, or from msgspec for other claims, types, or JSON
            return None
        return (claims, key) if claims.iat <= now_s < claims.exp else None

    def _look_at(self, header: str, token: str) -> tuple[Key, hmac.HMAC] | None:
        """Judge a header text for the first time."""
        named = None
        try:
            parsed = msgspec.json.decode(_decoded(header), type=_Header)
            if parsed.alg == self._algorithm and parsed.typ == "JWT":
                key = self._keys.find(token)
                if isinstance(secret := key.jwk.key, bytes):
                    named = key, hmac.new(secret, digestmod=self._digest)
        except Exception:
            return None  # PyJWT judges the header, and `find` may know its key later
        if len(self._known) < HEADERS_MAX:
            self._known[header] = named
        return named


def _decoded(text: str) -> bytes:
    """The bytes of unpadded base64url. Raises `ValueError`."""
    encoded = text.encode()
    return a2b_base64(encoded.translate(_FROM_URL) + _PADDING[len(encoded) % 4])


def _base64url(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL)
