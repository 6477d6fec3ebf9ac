"""Properties of the pages' files that need no browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import liveroom

STATIC = Path(liveroom.__file__).parent / "console" / "static"
CLIENT_JS = Path(liveroom.__file__).parent / "client" / "liveroom.js"
NODE = shutil.which("node")
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
HTML = [path for path in FILES if path.suffix == ".html"]


#: Word lists: those of the pages and those of the features that have their own, by folder.
LISTS = {
    english.parent: (english, english.with_name("words-zh.js"))
    for english in FILES
    if english.name == "words-en.js" and english.parent.name != "features"
}


def _words(path: Path) -> dict[str, str]:
    """The words of a list by their key."""
    found = re.findall(r"^  (\w+): (.*)$", path.read_text(), re.MULTILINE)
    words = dict(found)
    assert len(found) == len(words), [key for key, _ in found if [key for key, _ in found].count(key) > 1]
    return words


@pytest.mark.parametrize("folder", LISTS, ids=lambda folder: folder.name)
def test_both_languages_have_the_same_words(folder: Path) -> None:
    """Every key is there once in English and once in Chinese, with the same places to fill in."""
    english, chinese = (_words(path) for path in LISTS[folder])
    assert english
    assert english.keys() == chinese.keys()
    for key in english:
        places = [set(re.findall(r"\{\w+\}", words[key])) for words in (english, chinese)]
        assert places[0] == places[1], key


def test_no_list_has_a_word_of_another_one() -> None:
    """A key means one thing, whichever list has it, and every list of a feature is part of its language."""
    keys = [key for english, _ in LISTS.values() for key in _words(english)]
    assert len(keys) == len(set(keys))
    for lang in ("en", "zh"):
        listed = re.findall(rf'from "\./(\w+)/words-{lang}\.js"', (STATIC / "js" / "features" / f"words-{lang}.js").read_text())
        assert set(listed) == {folder.name for folder in LISTS} - {"js"}


def test_every_word_is_used_and_every_used_one_is_there() -> None:
    """`data-t` in the pages and `t(...)` in the scripts name words that exist; no word is left over."""
    words = {key for english, _ in LISTS.values() for key in _words(english)}
    code = "".join(path.read_text() for path in (*HTML, *SCRIPTS) if not path.name.startswith("words-"))
    asked = set(re.findall(r'data-t(?:-\w+)?"?[=:] ?"(\w+)"', code)) | set(re.findall(r'\bt\("(\w+)"', code))
    assert asked - words == set()
    begun = tuple(re.findall(r"`(\w+_)\$\{", code))
    assert {word for word in words if f'"{word}"' not in code and not word.startswith(begun)} == set()


@pytest.mark.parametrize("page", HTML, ids=lambda path: path.name)
def test_pages_hold_nothing_inline_and_call_nobody(page: Path) -> None:
    """No inline script, style or handler, and no other host, so that the strictest policy fits."""
    text = page.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_write_text_never_markup(script: Path) -> None:
    """Users' texts go in as text."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script.read_text())


#: Names of offers.
OFFERS = re.compile(r"envelope|coupon|flash.?sale|红包|券|秒杀", re.IGNORECASE)
#: One drawing is named after an envelope.
NAMING = {"icons.svg"}


def test_only_features_name_an_offer() -> None:
    """Pages, styles, scripts and words that all features share name no red envelope, coupon or flash sale."""
    names = {path.relative_to(STATIC).as_posix(): path for path in FILES}
    naming = {name for name, path in names.items() if not name.startswith("js/features/") and OFFERS.search(path.read_text())}
    assert naming == NAMING


def test_every_style_sheet_belongs_to_a_page() -> None:
    """Each is linked by a page, or imported by the features' style sheet that a page links."""
    found = {STATIC / name for page in HTML for name in re.findall(r'<link rel="stylesheet" href="/static/([^"]+)"', page.read_text())}
    for sheet in list(found):
        found |= {(sheet.parent / name).resolve() for name in re.findall(r'@import "([^"]+)"', sheet.read_text())}
    assert found == {path for path in FILES if path.suffix == ".css"}


def test_every_icon_is_there() -> None:
    """Pages and scripts name icons of `icons.svg`, and no two have the same name."""
    icons = re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text())
    text = "".join(path.read_text() for path in (*HTML, *SCRIPTS))
    used = re.findall(r"icons\.svg#([\w-]+)", text) + re.findall(r'\bicon\("([\w-]+)"\)|\bpicture(?::| =) "([\w-]+)"', text)
    assert len(icons) == len(set(icons))
    assert {name for one in used for name in ([one] if isinstance(one, str) else one) if name} <= set(icons)


def _linked(entry: str) -> set[Path]:
    """The files of a page's modules. Fails if one is missing, has a syntax error or imports a name that is not exported."""
    link = Path(__file__).parent / "link.mjs"
    arguments = [str(NODE), "--experimental-vm-modules", "--no-warnings", str(link), str(STATIC), str(CLIENT_JS), entry]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(name) for name in json.loads(done.stdout)}


@pytest.mark.skipif(NODE is None, reason="node is not installed: the modules are linked in Chromium only")
def test_modules_of_every_page_link() -> None:
    """Each import of each page finds its file and its names, and no script is left over."""
    entries = {entry for page in HTML for entry in re.findall(r'<script type="module" src="([^"]+)"', page.read_text())}
    assert len(entries) == len(HTML)
    assert set().union(*(_linked(entry) for entry in entries)) == {*SCRIPTS, CLIENT_JS}
