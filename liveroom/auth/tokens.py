"""Tokens: JWTs that name a user, a room and a role. Only this module makes and checks them."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jwt
import msgspec
from msgspec import Struct

from liveroom.auth.claims import TokenClaims
from liveroom.auth.hmac_tokens import HmacTokens
from liveroom.auth.keys import Key, Keys
from liveroom.config.schema import SECRET_BYTES_MIN, AuthConfig, Config
from liveroom.messages.errors import BadConfig, BadToken
from liveroom.messages.fields import NAME_CHARS_MAX, Role, UserId, UserName
from liveroom.messages.text import clean_name
from liveroom.process.owner_only import make_directory, make_owner_only
from liveroom.protocol.diagnosis import diagnose

__all__ = ["ANY_ROOM", "Identity", "TokenChecker", "bearer_token", "kept_secret", "load_secret", "make_token"]

log = logging.getLogger("liveroom.auth")

#: A platform token with this room is valid for every room.
ANY_ROOM = "*"

TOKEN_CHARS_MAX = 4_096
DETAIL_CHARS_MAX = 200
DEV_SECRET_FILE = "dev-secret"


class Identity(Struct, frozen=True):
    """The identity that a token proves."""

    user: UserId
    name: UserName
    role: Role
    room: str
    #: Unix s at which the token stops being accepted: its `exp` plus `auth.leeway_s`.
    expires_s: int
    buyer: bool = False
    #: The id of the key that verified it.
    key: str = ""

    def check_room(self, room: str) -> None:
        """Raises `BadToken` unless the token is for this room."""
        if self.room == room or (self.room == ANY_ROOM and self.role is Role.platform):
            return
        if self.room == ANY_ROOM:
            raise BadToken("wrong_room", f"the room * is for the role platform only, and this token's role is {self.role.value}")
        raise BadToken("wrong_room", "the token is for another room")


class TokenChecker:
    """Verifies tokens with the pinned algorithm and the configured keys. Raises `BadConfig` when made without a key."""

    def __init__(self, auth: AuthConfig, secret: str = "") -> None:
        self._auth = auth
        self.keys = Keys(auth, secret)
        # A platform that asks for issuer or audience has tokens with more claims, which are PyJWT's to judge.
        self._common = HmacTokens(auth.algorithm, self.keys) if not (auth.issuer or auth.audience) else None
        self._required = ["sub", "exp"] + (["iss"] if auth.issuer else []) + (["aud"] if auth.audience else [])

    def check(self, token: str) -> Identity:
        """Verify `token`. Raises `BadToken`, whose text never contains the token."""
        if not token:
            raise BadToken("bad_token", "the token is missing")
        if len(token) > TOKEN_CHARS_MAX:
            raise BadToken("bad_token", f"the token is longer than {TOKEN_CHARS_MAX} characters")
        if self._common is not None and (found := self._common.check(token, time.time())) is not None:
            return self._identity(*found)
        if not token.isascii():
            raise BadToken("bad_token", "the token holds characters that no token has")
        claims: dict[str, Any] = {}
        try:
            key = self.keys.find(token)
            claims = jwt.decode(
                token,
                key.jwk,
                algorithms=[self._auth.algorithm],
                leeway=self._auth.leeway_s,
                issuer=self._auth.issuer or None,
                audience=self._auth.audience or None,
                options={"require": self._required, "verify_aud": bool(self._auth.audience), "verify_sub": False, "verify_jti": False},
            )
            checked = msgspec.convert(claims, TokenClaims)
        except jwt.ExpiredSignatureError:
            raise BadToken("token_expired", "the token has expired") from None
        except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for an unpaired surrogate
            raise BadToken("bad_token", _claim_words(claims)) from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise BadToken("bad_token", _words(error, token, self._auth)[:DETAIL_CHARS_MAX]) from None
        return self._identity(checked, key)

    def _identity(self, checked: TokenClaims, key: Key) -> Identity:
        """The identity of a verified token. Raises `BadToken` if the token lives too long."""
        if checked.exp > time.time() + self._auth.lifetime_s_max + self._auth.leeway_s:
            raise BadToken("bad_token", f"the token lives longer than {self._auth.lifetime_s_max} s")
        return Identity(
            user=checked.sub,
            name=clean_name(checked.name or "", NAME_CHARS_MAX, checked.sub),
            role=checked.role,
            room=checked.room,
            expires_s=int(checked.exp) + self._auth.leeway_s,  # PyJWT allows the same leeway
            buyer=bool(checked.buyer),
            key=key.id,
        )


def _words(error: Exception, token: str, auth: AuthConfig) -> str:
    """The reason why a token does not verify. The library's own texts name no setting and change with its version."""
    match error:
        case jwt.MissingRequiredClaimError():
            setting = {"iss": " (auth.issuer asks for it)", "aud": " (auth.audience asks for it)"}.get(error.claim, "")
            return f"the claim {error.claim} is missing{setting}"
        case jwt.InvalidAudienceError():
            return f"the claim aud does not name {auth.audience} (auth.audience)"
        case jwt.InvalidIssuerError():
            return f"the claim iss is not {auth.issuer} (auth.issuer)"
        case jwt.ImmatureSignatureError():
            return "the token is not yet valid: its nbf or iat lies ahead of this server's clock"
        case jwt.InvalidSignatureError():
            return "the signature is not by the key that this server checks with"
        case jwt.InvalidAlgorithmError():
            return f"the token is not signed with {auth.algorithm} (auth.algorithm)"
    if not _is_jwt(token):
        return "this is no JWT: expected three parts of base64url with dots between, the first two JSON objects"
    if isinstance(error, jwt.DecodeError | jwt.InvalidIssuedAtError | OverflowError):
        return "the claims exp, nbf and iat must be numbers"
    return "the token's header cannot be used"


def _is_jwt(token: str) -> bool:
    """Whether the text has the form of a JWT, whatever its signature."""
    try:
        jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False
    return True


def _claim_words(claims: dict[str, Any]) -> str:
    fault = diagnose(TokenClaims, claims)
    where, what = (fault.path, fault.detail) if fault else ("exp", "expected a number")
    return f"the claim {where} is wrong: {what}"[:DETAIL_CHARS_MAX]


def make_token(secret: str, auth: AuthConfig, *, user: str, room: str, role: Role, lifetime_s: int, name: str = "", buyer: bool = False) -> str:
    """Sign a token with the shared secret. Raises `BadConfig` when the settings pin a public-key algorithm."""
    if not auth.algorithm.startswith("HS"):
        raise BadConfig(f"auth.algorithm: {auth.algorithm} tokens are signed by the holder of the private key, not by liveroom")
    if not secret:
        raise BadConfig("auth.secret: is not set; only a token for the key of `auth.secret` or `auth.secret_file` can be made here")
    claims: dict[str, Any] = {"sub": user, "room": room, "role": role.value, "exp": int(time.time()) + lifetime_s}
    if name:
        claims["name"] = name
    if buyer:
        claims["buyer"] = True
    if auth.issuer:
        claims["iss"] = auth.issuer
    if auth.audience:
        claims["aud"] = auth.audience
    return jwt.encode(claims, secret, algorithm=auth.algorithm)


def load_secret(config: Config, *, make: bool = True) -> str:
    """The shared secret; empty for public keys. Dev mode keeps one in the data directory, and makes it unless `make` is false."""
    auth = config.auth
    if not auth.algorithm.startswith("HS"):
        return ""
    if auth.secret:
        return auth.secret
    if auth.secret_file:
        secret = _read(auth.secret_file, "auth.secret_file").strip()
        least = SECRET_BYTES_MIN[auth.algorithm]
        if len(secret.encode()) < least:
            raise BadConfig(f"auth.secret_file: {auth.secret_file}: holds fewer than the {least} bytes that {auth.algorithm} needs")
        return secret
    if config.liveroom.mode != "dev":
        if auth.keys_file:
            return ""
        raise BadConfig("auth.secret: is not set; set LIVEROOM_AUTH_SECRET or auth.secret_file, or use --mode dev to have one made")
    return _dev_secret(Path(config.liveroom.data_dir), make)


def _dev_secret(data_dir: Path, make: bool) -> str:
    path = data_dir / DEV_SECRET_FILE
    try:
        if not make and not path.exists():
            raise BadConfig(f"{path}: there is no dev secret here; `liveroom serve --mode dev` makes it, --data-dir names where")
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}; a secret is kept there") from None
    return kept_secret(path)


def kept_secret(path: Path) -> str:
    """The secret in a file, which is made when it is missing. Raises `BadConfig`."""
    try:
        make_directory(path.parent)
        if not path.exists():
            _create_once(path, secrets.token_urlsafe(48))
        _keep_others_out(path)
        secret = path.read_text(encoding="ascii")
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}; a secret is kept there") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{path}: is not text; delete it to have a new one made") from None
    if len(secret) < max(SECRET_BYTES_MIN.values()):
        raise BadConfig(f"{path}: is cut short; delete it to have a new one made")
    return secret


def _keep_others_out(path: Path) -> None:
    """Remove other users' permissions. A failure is only logged, because the owner or the mount may forbid the change."""
    try:
        make_owner_only(path)
    except OSError as error:
        log.warning("others can read a secret, and that cannot be changed", extra={"file": str(path), "error": str(error)})


def _create_once(path: Path, text: str) -> None:
    """Make the file with its whole content at once, for its owner only. If another process was first, its file stays."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _read(path: str, setting: str) -> str:
    if not path:
        raise BadConfig(f"{setting}: is not set")
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise BadConfig(f"{setting}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{setting}: {path}: is not text") from None


def bearer_token(authorizations: Iterable[str]) -> str | None:
    """The token of the first `Authorization` header with the scheme Bearer (RFC 6750), or `None`. Other schemes are skipped."""
    for authorization in authorizations:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    return None
