"""The glossary has each term once, in order, and only terms that the project uses."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"


def entries() -> list[tuple[str, str]]:
    """Each term with the text of its entry."""
    _, *parts = re.split(r"^### ", GLOSSARY.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [(head, text.strip()) for head, _, text in (part.partition("\n") for part in parts)]


@cache
def everything(folders: tuple[str, ...]) -> str:
    """The pages and the code of these folders, without the glossary."""
    paths = [p for folder in folders for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".md", ".py", ".js") and p != GLOSSARY]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def forms(term: str) -> re.Pattern[str]:
    """The term as words, as a name in code, and in the plural."""
    return re.compile(r"(?<![A-Za-z])" + r"[ _-]?".join(term.split()) + r"(?:e?s|ed|d)?(?![A-Za-z])", re.IGNORECASE)


def test_terms_are_in_order_and_unique() -> None:
    """Terms are sorted, and each has one entry."""
    terms = [term.lower() for term, _ in entries()]
    assert len(terms) > 50
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("term", [term for term, _ in entries()])
def test_a_term_is_used(term: str) -> None:
    """Pages or code use the term."""
    assert forms(term).search(everything(("docs", "liveroom"))), f"nothing else speaks of {term}"


@pytest.mark.parametrize(("term", "text"), entries(), ids=[term for term, _ in entries()])
def test_an_entry_is_short_and_names_entries(term: str, text: str) -> None:
    """An entry has at most two sentences beside its link; each bold word in it is a term."""
    sentences = [line for line in text.splitlines() if line and not line.startswith("See ")]
    assert 1 <= len(sentences) <= 2, term
    terms = {known.lower() for known, _ in entries()}
    for bold in re.findall(r"\*\*(.+?)\*\*", text):
        assert bold.lower() in terms or bold.lower().removesuffix("s") in terms, f"{term}: {bold} has no entry"
