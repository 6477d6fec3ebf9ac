"""Reads a real chat from a file: JSON lines, or Bilibili danmaku XML, as untidy as real files are.

A line's text stays exactly as it was written. Bytes that are invalid in the file's encoding become half a surrogate pair.
UTF-8 cannot encode it, so that such a line cannot be mistaken for another.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

__all__ = ["ChatFile", "Line", "NotAChat", "read_chat", "sayable"]

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
LINES_MAX: Final = 2_000_000
#: A number above this is a time in ms, not in s.
MS_FROM: Final = 1e11
#: The replacement of bytes that are invalid in the file's encoding.
_BROKEN: Final = "\udcff"
#: Characters of an unreadable first line that an error quotes.
QUOTE_MAX: Final = 40


class NotAChat(Exception):
    """The file is no chat that can be replayed; the text says why, in one line."""


class Line(Struct, frozen=True):
    """One line of chat, with its time in s on the file's own clock."""

    time_s: float
    user: str
    text: str


class ChatFile(Struct, frozen=True):
    """The lines in the order of their times, and how many places of the file were no line, by reason."""

    format: str
    encoding: str
    lines: tuple[Line, ...]
    unreadable: dict[str, int]


def read_chat(path: Path) -> ChatFile:
    """Read a file. Raises `NotAChat`."""
    text, encoding = _decode(_read(path))
    is_xml = text.lstrip("\ufeff \t\r\n").startswith("<")
    unreadable: Counter[str] = Counter()
    lines = list((_xml_lines if is_xml else _json_lines)(text, unreadable.update))
    if not lines:
        raise NotAChat(_why_none(text, is_xml, unreadable))
    lines.sort(key=lambda line: line.time_s)
    return ChatFile("danmaku XML" if is_xml else "JSON lines", encoding, tuple(lines), dict(unreadable))


def sayable(text: str) -> bool:
    """Whether UTF-8 can say it."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


# Bytes


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise NotAChat("is a directory")
        if not path.is_file():
            raise NotAChat("there is no such file" if not path.exists() else "is no regular file")
        if path.stat().st_size > FILE_BYTES_MAX:
            raise NotAChat(f"is larger than {FILE_BYTES_MAX // 1024 // 1024} MB; replay a part of it")
        data = path.read_bytes()
    except OSError as error:
        raise NotAChat(f"cannot be read: {error.strerror}") from None
    if not data.strip(b" \t\r\n\0"):
        raise NotAChat("is empty")
    return data


_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _decode(data: bytes) -> tuple[str, str]:
    """The text and its encoding: by the byte order mark, by where the zeros are, or UTF-8 unless GB18030 fits better."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], encoding), encoding
    head = data[:4_096]
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if max(zeros) > len(head) // 8 and min(zeros) * 4 < max(zeros):
        encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        return _lenient(data, encoding), encoding
    text = _lenient(data, "utf-8")
    broken = text.count(_BROKEN)
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    # Text of another encoding makes sense as UTF-8 here and there by chance; a damaged file makes sense in most places.
    if broken and broken > beyond_ascii - broken:
        other = _lenient(data, "gb18030")
        if other.count(_BROKEN) < broken:
            return other, "gb18030"
    return text, "utf-8"


def _lenient(data: bytes, encoding: str) -> str:
    return data.decode(encoding, errors="liveroom.chatfile")


def _mark_broken(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _BROKEN, error.end


codecs.register_error("liveroom.chatfile", _mark_broken)


# JSON lines

Count = Callable[[list[str]], None]


def _json_lines(text: str, unreadable: Count) -> Iterator[Line]:
    rows = text.split("\n")
    if len(rows) > LINES_MAX:
        raise NotAChat(f"holds more than {LINES_MAX} lines; replay a part of it")
    for row in rows:
        row = row.strip("\r\t \ufeff")
        if not row:
            continue
        line = _json_line(row)
        if isinstance(line, Line):
            yield line
        else:
            unreadable([line])


def _json_line(row: str) -> Line | str:
    """A line, or why it is none."""
    try:
        plain = json.loads(row, strict=False)
    except (ValueError, RecursionError):
        return "not_json"
    if not isinstance(plain, dict):
        return "not_an_object"
    user, text = plain.get("user"), plain.get("text")
    if isinstance(user, int) and not isinstance(user, bool):
        user = str(user)
    if not isinstance(user, str) or not user:
        return "no_user"
    if not isinstance(text, str):
        return "no_text"
    time_s = _time_s(plain.get("time"))
    return "no_time" if time_s is None else Line(time_s, user, text)


def _time_s(value: Any) -> float | None:
    """A time as a number of s or ms, as text of either, or as ISO 8601."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                value = datetime.fromisoformat(value).timestamp()
            except (ValueError, OverflowError, OSError):
                return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number):
        return None
    return number / 1000 if abs(number) > MS_FROM else number


# Danmaku XML. No XML parser: one broken entity would cost it the whole file.

_P = re.compile(r"""[^>]*?\bp\s*=\s*(?:"([^"]*)"|'([^']*)')[^>]*>""")
_ENTITY = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


def _xml_lines(text: str, unreadable: Count) -> Iterator[Line]:
    elements = re.split(r"<d(?=[\s>/])", text)[1:]
    if len(elements) > LINES_MAX:
        raise NotAChat(f"holds more than {LINES_MAX} lines; replay a part of it")
    for element in elements:
        line = _xml_line(element)
        if isinstance(line, Line):
            yield line
        else:
            unreadable([line])


def _xml_line(element: str) -> Line | str:
    """The line in the text after `<d`, or the reason why there is none."""
    head = _P.match(element)
    if head is None:
        return "no_p"
    fields = (head.group(1) or head.group(2) or "").split(",")
    if len(fields) < 7 or not fields[6].strip():
        return "no_user"
    time_s = _time_s(fields[0].strip())
    if time_s is None:
        return "no_time"
    body, closed, _ = element[head.end() :].partition("</d")
    if not closed and not head.group().rstrip("> ").endswith("/"):
        return "not_closed"
    if body.startswith("<![CDATA[") and body.endswith("]]>"):
        return Line(time_s, fields[6].strip(), body[9:-3])
    return Line(time_s, fields[6].strip(), _ENTITY.sub(_unescaped, body if closed else ""))


def _unescaped(match: re.Match[str]) -> str:
    name, decimal, hexadecimal = match.groups()
    if name:
        return _NAMED[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(number) if number <= 0x10FFFF else match.group()


def _why_none(text: str, is_xml: bool, unreadable: Counter[str]) -> str:
    reasons = ", ".join(f"{reason}: {count}" for reason, count in unreadable.most_common())
    if is_xml:
        return f'is no danmaku XML: not one <d p="seconds,...,user hash,...">text</d> can be read in it{f" ({reasons})" if reasons else ""}'
    first = next(row.strip() for row in text.split("\n") if row.strip())
    quote = ascii(first[:QUOTE_MAX])
    return f"is neither JSON lines with time, user and text nor danmaku XML ({reasons}); it begins with {quote}"
