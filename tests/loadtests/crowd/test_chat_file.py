"""Reading real chats."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.crowd.chat_file import NotAChat, read_chat, sayable

DATA = Path(__file__).parent / "data"


def texts(name: str) -> list[str]:
    return [line.text for line in read_chat(DATA / name).lines]


def test_untidy_json_lines() -> None:
    """Lines are kept exactly as written, in the order of their times; what is no line is counted by reason."""
    chat = read_chat(DATA / "untidy.jsonl")
    assert [line.text for line in chat.lines[:4]] == [
        "主播好！",
        "<script>alert('hi')</script> & <b>bold</b>",
        "👋🏽 emoji, ZWJ 👨‍👩‍👧, RTL \u202eabc",
        "长" * 300,
    ]
    assert [line.time_s for line in chat.lines[:4]] == [0.0, 0.2, 0.4, 0.6]
    assert [line.user for line in chat.lines[:4]] == ["小雨", "bob@example.com", "7", "ann"]
    assert [len(line.text) for line in chat.lines[4:6]] == [301, 5_000]
    assert "two\nlines" in [line.text for line in chat.lines]
    assert chat.lines[-1].text == "no newline at the end"
    assert chat.unreadable == {"no_text": 1, "no_time": 2, "no_user": 1, "not_json": 1, "not_an_object": 1}


def test_untidy_xml() -> None:
    """Known entities are resolved and nothing else is touched; broken elements do not take others with them."""
    chat = read_chat(DATA / "untidy.xml")
    assert [line.text for line in chat.lines] == [
        "broken &entity; and & alone &#99999999; &#x110000;",
        '[0,0,"1-1",3.8,"《positions》",0,0]',
        'function f(){ if (a < b && c > d) { return "<x>"; } }',
        "raw <b> & text",
        "",
        "",
        "control \x01 character \x00 and \ud800",
        "control \x01 character",
        "closed again",
        "second in the file, last in time & <b> 中文 \"q\" 'a'",
    ]
    assert chat.unreadable == {"no_time": 1, "no_user": 1, "no_p": 1, "not_closed": 1}


@pytest.mark.parametrize(("name", "encoding"), [("gbk.jsonl", "gb18030"), ("utf16.jsonl", "utf-16-le"), ("utf16-no-mark.jsonl", "utf-16-be")])
def test_encodings(name: str, encoding: str) -> None:
    """GBK and UTF-16, with and without a mark, are found out."""
    assert read_chat(DATA / name).encoding == encoding
    assert texts(name) == ["这个颜色好看", "多少钱？", "已下单，期待发货"]


def test_a_declaration_is_not_believed() -> None:
    """XML that says UTF-8 and is GBK is read as what it is."""
    assert texts("declared-utf8-is-gbk.xml") == ["弹幕里的中文"]


def test_damaged_bytes_stay_known() -> None:
    """A damaged place does not change the encoding of the rest, and its line cannot be said."""
    assert [sayable(text) for text in texts("damaged-utf8.jsonl")] == [True, False, True]
    assert texts("damaged-utf8.jsonl")[0] == "这个颜色好看"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("binary.png", "neither JSON lines"),
        ("array.json", "neither JSON lines"),
        ("page.html", "no danmaku XML"),
        ("empty.jsonl", "is empty"),
        ("blank.jsonl", "is empty"),
        (".", "is a directory"),
        ("missing.jsonl", "no such file"),
    ],
)
def test_anything_else_is_one_clear_error(name: str, words: str) -> None:
    """A file that is no chat raises an error of one line that says why."""
    with pytest.raises(NotAChat, match=words) as error:
        read_chat(DATA / name)
    assert "\n" not in str(error.value)


@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"<i>{text}<d p='1,1,1,1,1,1,u'>{text}</d>".encode(errors="replace")))
def test_any_bytes_are_a_chat_or_an_error(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No bytes make the reader fail in another way."""
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(data)
    with suppress(NotAChat):
        assert read_chat(file).lines


@pytest.mark.parametrize(
    ("time", "time_s"),
    [("1.5", 1.5), ('"1.5"', 1.5), ("1700000000123", 1_700_000_000.123), ('"2023-11-14T22:13:20Z"', 1_700_000_000.0), ("true", None), ("NaN", None)],
)
def test_times(tmp_path: Path, time: str, time_s: float | None) -> None:
    """A time is a number of s or ms, or ISO 8601; anything else is no time."""
    file = tmp_path / "chat.jsonl"
    file.write_text(f'{{"time": 0, "user": "u", "text": "a"}}\n{{"time": {time}, "user": "u", "text": "b"}}\n')
    lines = read_chat(file).lines
    assert [line.time_s for line in lines] == ([0.0] if time_s is None else [0.0, time_s])
