"""The PROXY protocol, versions 1 and 2: a proxy sends the client's address before the first byte of a forwarded connection.

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

__all__ = ["HEADER_BYTES_MAX", "BadProxyHeader", "bytes_wanted", "client_of"]

#: The largest header: 16 bytes, the addresses, and additions of proxies about TLS and their networks.
HEADER_BYTES_MAX: Final = 4_096

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_HEAD_BYTES: Final = 16
_LINE_BYTES_MAX: Final = 107
#: Lengths of the shortest lines of version 1 with addresses. So one read takes most of a line and never a byte beyond it.
_LINE_BYTES_MIN: Final = {b"PROXY TCP4 ": len("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"), b"PROXY TCP6 ": len("PROXY TCP6 :: :: 1 1\r\n")}
_LINE: Final = re.compile(rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
_UNKNOWN: Final = b"PROXY UNKNOWN"

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
#: Bytes of both addresses and ports.
_ADDRESS_BYTES: Final = {_TCP4: 12, _TCP6: 36, _UNIX: 216, _UNSPECIFIED: 0}


class BadProxyHeader(ValueError):
    """The first bytes of a proxy's connection are no valid PROXY header."""


def bytes_wanted(header: bytes) -> int:
    """The number of bytes to read next without reading beyond the header; 0 if the header is complete. Raises `BadProxyHeader`."""
    size = len(header)
    if size < len(_SIGNATURE):
        return len(_SIGNATURE) - size
    if header.startswith(_SIGNATURE):
        if size < _HEAD_BYTES:
            return _HEAD_BYTES - size
        whole = _HEAD_BYTES + int.from_bytes(header[14:16], "big")
        if whole > HEADER_BYTES_MAX:
            raise BadProxyHeader(f"the header has {whole} bytes, which is too long")
        return whole - size
    if not header.startswith(b"PROXY "):
        raise BadProxyHeader("the header is neither version 1 nor version 2")
    if header.endswith(b"\r\n"):
        return 0
    if size >= _LINE_BYTES_MAX:
        raise BadProxyHeader("the PROXY line has no end")
    least = _LINE_BYTES_MIN.get(bytes(header[:11]), 0)
    return max(least - size, 1 if header.endswith(b"\r") else 2)


def client_of(header: bytes) -> str:
    """The client's address from a complete header; empty if the proxy sent no address. Raises `BadProxyHeader`."""
    return _client_of_binary(header) if header.startswith(_SIGNATURE) else _client_of_line(header)


def _client_of_line(line: bytes) -> str:
    if line.startswith(_UNKNOWN) and line[len(_UNKNOWN) : len(_UNKNOWN) + 1] in (b"\r", b" "):
        return ""
    found = _LINE.fullmatch(line)
    if found is None or any(int(port) > 65_535 for port in found.group(4, 5)):
        raise BadProxyHeader("the PROXY line is malformed")
    kind = IPv4Address if found[1] == b"TCP4" else IPv6Address
    try:
        client, _ = (kind(address.decode("ascii")) for address in found.group(2, 3))
    except ValueError as error:
        raise BadProxyHeader(str(error)) from None
    return str(client)


def _client_of_binary(header: bytes) -> str:
    command, family = header[12], header[13]
    if command not in (_LOCAL, _PROXY):
        raise BadProxyHeader(f"unknown version and command {command:#x}")
    if command == _LOCAL:
        return ""
    if family not in _ADDRESS_BYTES or len(header) - _HEAD_BYTES < _ADDRESS_BYTES[family]:
        raise BadProxyHeader(f"family and protocol {family:#x} are invalid with {len(header) - _HEAD_BYTES} bytes")
    addresses = header[_HEAD_BYTES:]
    if family == _TCP4:
        return str(IPv4Address(bytes(addresses[:4])))
    if family == _TCP6:
        return str(IPv6Address(bytes(addresses[:16])))
    return ""
