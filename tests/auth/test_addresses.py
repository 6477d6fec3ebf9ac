"""The trusted source of a client's address, and its replacement in the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from liveroom.auth.addresses import AddressHasher, TrustedProxies, load_address_key
from liveroom.config.schema import AuthConfig, Config, JournalConfig, LiveroomConfig
from liveroom.config.settings import load_config
from liveroom.features.chat.messages import SendChat
from liveroom.features.coupon.messages import ClaimCoupon
from liveroom.features.flash_sale.messages import ReserveStock
from liveroom.features.red_envelope.messages import GrabRedEnvelope
from liveroom.messages.errors import BadConfig
from liveroom.protocol.commands import Command

KEY = b"k" * 32
GRAB = GrabRedEnvelope(5)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),  # an untrusted peer may claim anything
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("::ffff:10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("fd00::1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["6.6.6.6:1, 5.5.5.5:1230"], "5.5.5.5"),
        ("10.0.0.1", ["5.5.5.5:1230, 10.0.0.2:65535"], "5.5.5.5"),
        ("10.0.0.1", ["[2001:db8::1]:440"], "2001:db8::1"),
        ("10.0.0.1", ["[fe80::1%eth0]:440"], "fe80::1"),
        ("10.0.0.1", ["[::ffff:5.5.5.5]:440"], "5.5.5.5"),
        ("10.0.0.1", ["2001:db8::1:440"], "2001:db8::1:440"),  # without brackets it is an address
        ("10.0.0.1", ["5.5.5.5:"], "10.0.0.1"),
        ("10.0.0.1", ["5.5.5.5:80:80"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1]440"], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("unix", ["1.1.1.1"], "unix"),
    ],
)
def test_the_clients_address_is_the_right_most_that_is_no_trusted_proxy(peer: str, forwarded_for: list[str], address: str) -> None:
    """The client writes the entries to its left, so they are not believed."""
    assert TrustedProxies(("10.0.0.0/8", "fd00::/8")).client_address(peer, forwarded_for) == address


def test_a_proxy_whose_word_is_no_address_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Limits per address count nobody behind it, which the operator could not see otherwise; what a client may write says nothing."""
    proxies = TrustedProxies(("10.0.0.0/8",))
    for peer, forwarded_for in (("10.0.0.1", []), ("10.0.0.1", ["unknown, 1.1.1.1:80"]), ("9.9.9.9", ["unknown"])):
        proxies.client_address(peer, forwarded_for)
    assert caplog.records == []
    for _ in range(3):
        proxies.client_address("10.0.0.1", ["1.1.1.1, " + "x" * 1_000])
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "liveroom.auth.addresses")
    assert vars(record)["proxy"] == "10.0.0.1"
    assert vars(record)["named"] == "x" * 64


def test_a_network_that_is_none_is_told_by_its_setting() -> None:
    """A mistyped proxy is an error, because it would silently trust no proxy."""
    with pytest.raises(BadConfig, match=r"gateway\.trusted_proxies"):
        TrustedProxies(("10.0.0.0/40",))


def hash_of(address: str, command: Command = GRAB, *, room: str = "demo", key: bytes = KEY) -> str:
    return AddressHasher(key, ["10.0.0.0/8"]).hash(address, room, command)


def test_a_mark_is_of_one_network_and_one_item() -> None:
    """The same for every client of the network and at every gateway; another one for another item, room or key."""
    assert len({hash_of("192.0.2.7"), hash_of("192.0.2.7"), hash_of("::ffff:192.0.2.7")}) == 1
    others = [
        hash_of("192.0.2.8"),
        hash_of("192.0.2.7", GrabRedEnvelope(6)),
        hash_of("192.0.2.7", room="demo2"),
        hash_of("192.0.2.7", key=b"l" * 32),
    ]
    assert len({hash_of("192.0.2.7"), *others}) == 5
    assert hash_of("192.0.2.7", ClaimCoupon(9)) != hash_of("192.0.2.7", ReserveStock(8))


def test_a_mark_does_not_tell_the_address() -> None:
    """16 hex digits, of a keyed hash."""
    assert len(hash_of("192.0.2.7")) == 16
    assert not set(hash_of("192.0.2.7")) - set("0123456789abcdef")


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    """Its owner chooses among 2**64 addresses."""
    assert hash_of("2001:db8:1:2::1") == hash_of("2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert hash_of("2001:db8:1:2::1") != hash_of("2001:db8:1:3::1")


@pytest.mark.parametrize(
    ("address", "command"), [("unix", GRAB), ("", GRAB), ("10.1.2.3", GRAB), ("::ffff:10.1.2.3", GRAB), ("192.0.2.7", SendChat("hello"))]
)
def test_what_is_no_claim_of_a_known_address_has_no_mark(address: str, command: Command) -> None:
    """A trusted proxy that names no client speaks for itself: it is the platform, not a viewer."""
    assert hash_of(address, command) == ""


def test_a_forwarded_request_is_marked_by_its_client() -> None:
    """The client is the one that a trusted proxy names; claims of others are not believed."""
    hasher = AddressHasher(KEY, ["10.0.0.0/8"])
    assert hasher.hash_forwarded("10.0.0.1", ["192.0.2.7"], "demo", GRAB) == hash_of("192.0.2.7")
    assert hasher.hash_forwarded("10.0.0.1", ["192.0.2.7:4711"], "demo", GRAB) == hash_of("192.0.2.7"), "a port is not of the address"
    assert hasher.hash_forwarded("192.0.2.8", ["192.0.2.7"], "demo", GRAB) == hash_of("192.0.2.8")
    assert hasher.hash_forwarded("10.0.0.1", [], "demo", GRAB) == ""
    assert hasher.hash_forwarded("10.0.0.1", ["unknown"], "demo", GRAB) == ""


def test_the_key_follows_from_the_shared_secret() -> None:
    """So that all processes have the same, and it is not the secret itself."""
    first, second = (Config(auth=AuthConfig(secret=letter * 48)) for letter in "st")
    assert load_address_key(first) == load_address_key(first) != load_address_key(second)
    assert b"s" * 8 not in load_address_key(first)


def test_the_key_may_have_a_secret_of_its_own() -> None:
    """A secret of its own lets the tokens' secret change without resetting the counts. Several processes with public keys need it."""
    own, other = (Config(auth=AuthConfig(secret=letter * 48, address_secret="a" * 32)) for letter in "st")
    assert load_address_key(own) == load_address_key(other) != load_address_key(Config(auth=AuthConfig(secret="s" * 48)))
    many = {"LIVEROOM_JOURNAL_KIND": "kafka", "LIVEROOM_AUTH_ALGORITHM": "EdDSA"}
    with pytest.raises(BadConfig, match=r"auth\.address_secret: is not set"):
        load_config(None, many, {})
    assert load_config(None, {**many, "LIVEROOM_AUTH_ADDRESS_SECRET": "a" * 32}, {}).auth.address_secret
    with pytest.raises(BadConfig, match=r"auth\.address_secret: needs at least 32 bytes"):
        load_config(None, {"LIVEROOM_AUTH_ADDRESS_SECRET": "short"}, {})


def test_without_a_shared_secret_the_key_is_kept_beside_the_journal(tmp_path: Path) -> None:
    """It counts the same after a restart; a journal in memory has nothing to count then."""
    auth, data = AuthConfig(algorithm="EdDSA", public_key_file="key.pem"), LiveroomConfig(data_dir=str(tmp_path / "data"))
    assert load_address_key(Config(auth=auth, liveroom=data)) == load_address_key(Config(auth=auth, liveroom=data))
    kept = tmp_path / "data" / "address-secret"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.unlink()
    in_memory = Config(auth=auth, liveroom=data, journal=JournalConfig(kind="memory"))
    assert load_address_key(in_memory) != load_address_key(in_memory)
    assert not kept.exists()
