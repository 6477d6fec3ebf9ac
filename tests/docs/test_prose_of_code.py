"""The linter of prose in Python and JavaScript: docstrings, comments and strings that people read."""

from __future__ import annotations

import pytest

from docs.prose import config, javascript, python
from docs.prose.__main__ import passages
from docs.prose.rules import WORDS_MAX, check

LONG = " ".join(["Viewers", *["word"] * WORDS_MAX])
SHORT = " ".join(["word"] * (WORDS_MAX - 1))


def in_python(text: str, *, literals: bool = True) -> list[tuple[int, str]]:
    """Line and rule of each finding."""
    return sorted((f.line, f.rule) for passage in python.passages(text, literals=literals) for f in check("x.py", passage))


def in_javascript(text: str, *, words: bool = False) -> list[tuple[int, str]]:
    """Line and rule of each finding."""
    return sorted((f.line, f.rule) for passage in javascript.passages(text, words=words) for f in check("x.js", passage))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"""As it is."""\n', 1),
        ('"""Rooms.\n\nRooms open.\nAs it is.\n"""\n', 4),
        ('class Room:\n    """Rooms.\n\n    - As it is.\n    """\n', 4),
        ('def f():\n    """What it is."""\n', 2),
        ('async def f():\n    """What it is."""\n', 2),
    ],
)
def test_docstrings_are_read(text: str, line: int) -> None:
    """Docstrings of modules, classes and functions, in every paragraph and list."""
    assert in_python(text) == [(line, "opening")]


def test_code_in_docstrings_is_not() -> None:
    """Indented blocks and code in backticks may hold anything, and lines may end anywhere."""
    assert in_python('"""Rooms open\nand close. Rooms stay.\n\n    What is anew\n\nRooms say `anew`.\n"""\n') == []
    assert in_python('class Room:\n    """Rooms.\n\n        What is anew\n    """\n') == []
    assert in_python(f'"""{LONG}."""\n') == [(1, "length")]
    assert in_python('"""' + LONG.replace(" word", "\nword", 1) + '."""\n') == [(1, "length")]


@pytest.mark.parametrize("annotation", ["bool", "bool | None", "Annotated[bool, 1]"])
def test_booleans_may_be_described_with_whether(annotation: str) -> None:
    """A function, field or setting that is a boolean; nothing else may."""
    texts = (
        'def f() -> {}:\n    """Whether it is."""\n',
        "class C:\n    #: Whether it is.\n    x: {}\n",
        "class C:\n    x: {} = f()  # Whether it is.\n",
        'class C:\n    x: Annotated[{}, Meta(description="Whether it is open.")]\n',
    )
    for text in texts:
        assert in_python(text.format(annotation)) == [], text
        assert [rule for _, rule in in_python(text.format("int"))] == ["opening"], text
        assert [rule for _, rule in in_python(text.format(annotation).replace("Whether", "What"))] == ["opening"], text
        assert [rule for _, rule in in_python(text.format(annotation) + text.format("int"))] == ["opening"], text


def test_comments_are_read() -> None:
    """Whole lines in a row are one text and a comment behind code is one of its own."""
    assert in_python("x = 1\n# Rooms open\n# as anew. As is.\n") == [(3, "banned"), (3, "opening")]
    assert in_python("x = 1  # Rooms open\ny = 2  # as a rule\n") == [(2, "opening")]
    assert in_python("# Rooms open\n# as a rule\n") == []
    assert in_python("# Rooms open\n\n# as a rule\n") == [(3, "opening")]
    assert in_python("def f():\n    pass\n    # Rooms open\n# as a rule\n") == [(4, "opening")]
    assert in_python("#: As a rule.\nx = 1\n") == [(1, "opening")]
    assert in_python(f"# {LONG}.\n") == [(1, "length")]


def test_marks_for_tools_are_no_comments() -> None:
    """The first line of a script and words for type checkers and linters are passed over."""
    for mark in ("#!/usr/bin/env as of anew", "# noqa: as anew", "# type: as anew", "# pragma: anew"):
        assert in_python(f"{mark}\n") == [], mark


@pytest.mark.parametrize(
    "code",
    [
        'log.info("as it was anew")\n',
        'REFUSALS = {"x": (400, "as it was anew")}\n',
        'f(f"as it was {x} anew")\n',
        'f("as it was " + x + " anew")\n',
        'f("as it "\n  "was anew")\n',
        'f(f"{x!r} {a[0]} as")\nf("as it was anew")\n',
        "f(f\"{g('as it was anew')} is\")\n",
        'g("a" + f("as it was anew"))\n',
    ],
)
def test_strings_that_people_read_are_read(code: str) -> None:
    """Log lines, refusal details and descriptions, whole: parts that are added or follow each other are one text."""
    assert [rule for _, rule in in_python(code)] == ["banned", "opening"]
    assert in_python(code, literals=False) == []


@pytest.mark.parametrize(
    "code",
    [
        'f("as")\n',
        'f("as_it_was anew")\n',
        'f("SELECT anew FROM as WHERE it")\n',
        're.compile("as it was anew")\n',
        'f(b"as it was anew")\n',
        'f(f"{as_it} {was} {anew}")\n',
    ],
)
def test_other_strings_are_not(code: str) -> None:
    """Names, keys, SQL, patterns and bytes are no prose."""
    assert in_python(code) == []


def test_strings_count_in_the_package_only() -> None:
    """The strings of tests are no prose; docstrings and comments count everywhere."""
    text = '"""As it is."""\nf("as it was anew")\n'
    for path, number in (("liveroom/x.py", 2), ("docs/generate/x.py", 2), ("loadtests/x.py", 2), ("deploy/x.py", 2), ("tests/x.py", 1)):
        assert len(list(passages(path, text))) == number, path


def test_comments_of_javascript_are_read() -> None:
    """Comments with lines of their own, of both kinds, with the line of the sentence; code and generated parts are not."""
    assert in_javascript("const x = 1;\n// Rooms open\n// as anew. As is.\n") == [(3, "banned"), (3, "opening")]
    assert in_javascript("/** What it is. */\n") == [(1, "opening")]
    assert in_javascript("  /**\n   * Rooms open\n   * anew.\n   *\n   * As is.\n   */\n") == [(3, "banned"), (5, "opening")]
    assert in_javascript("/**\n * Rooms.\n *\n *     What is anew\n */\n") == []
    assert in_javascript("/** @param {string} x What it is. */\n") == []
    assert in_javascript("/** @returns {string} What it is. */\n") == [(1, "opening")]
    assert in_javascript(f"/**\n * @param {{string}} x {SHORT}\n * @param {{string}} y {SHORT}\n */\n") == []
    assert in_javascript(f"/**\n * @param {{string}} x {LONG}\n */\n") == [(2, "length")]
    assert in_javascript('f("as it was anew");\n') == []
    assert in_javascript("// begin x: made by `y`\n/** What it is. */\n// end x\n\n// As is.\n") == [(5, "opening")]


def test_the_words_of_the_pages_are_read() -> None:
    """The English word list is prose, holes included; the Chinese one has no English rules."""
    text = 'export const EN = {\n  a: "As {x} was.",\n  b: `Rooms ${x} begin anew`,\n  c: "As",\n};\n'
    assert in_javascript(text, words=True) == [(2, "opening"), (3, "banned")]
    assert in_javascript('  a: "Rooms {anew} open",\n', words=True) == []
    assert in_javascript('  // Rooms say "as they are anew"\n', words=True) == [(1, "banned")]
    assert in_javascript(f'  a: "{LONG}.",\n', words=True) == [(1, "length")]
    assert len(list(passages("liveroom/console/static/js/words-en.js", text))) == 2
    assert list(passages("liveroom/console/static/js/words-zh.js", text)) == []


def in_config(path: str, text: str) -> list[tuple[int, str]]:
    """Line and rule of each finding."""
    return sorted((f.line, f.rule) for passage in config.passages(path, text) for f in check(path, passage))


def test_comments_of_configuration_are_read() -> None:
    """Whole lines in a row are one text and a comment behind a value is one of its own; values, quotes and the first line of a script are none."""
    assert in_config("x.yaml", "# Rooms open\n# as anew. As is.\nx: 1\n") == [(2, "banned"), (2, "opening")]
    assert in_config("x.toml", "x = 1  # As is.\n") == [(1, "opening")]
    assert in_config("Makefile", "all:\n\t# As is.\n") == [(2, "opening")]
    assert in_config("x.yaml", "x: 1 # Rooms open\n# as a rule\n") == [(2, "opening")]
    assert in_config("x.yaml", "# Rooms:\n#\n#     as in code anew\n") == []
    assert in_config("x.yaml", "x: a#As is anew.\ny: \"# As is.\"\nz: '# As is.'\n#!As is.\n") == []
    assert in_config("x.yaml", f"# {LONG}.\n") == [(1, "length")]


def test_texts_for_operators_are_read() -> None:
    """Annotations of alerts and descriptions of dashboards are prose, holes included; other values are not."""
    for line in ('summary: As "it" is.', "meaning: As it is.", "action: As it is.", '"description": "As it is.",', 'summary: "As {{ $value }} is."'):
        assert in_config("x.yml", f"  {line}\n") == [(1, "opening")], line
    assert in_config("x.json", '  "description": "As it is."\n') == [(1, "opening")]
    assert in_config("x.yml", "  expr: as it is anew\n  summary: {{ as }} is\n  summary: >-\n") == []
    assert in_config("x.json", "# As is.\n") == []


def test_comments_of_style_sheets_are_read() -> None:
    """Comments of one line and of several; selectors and colors are no comments."""
    assert in_config("x.css", "#as .is { color: #fff } /* As is. */\n/* Rooms\nopen anew. */\n") == [(1, "opening"), (3, "banned")]
