"""The list of decisions."""

from __future__ import annotations

import re
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"


def test_every_decision_is_listed_under_its_number() -> None:
    """The index names each page of the folder once, in order, and nothing else."""
    listed = re.findall(r"^(\d+)\. \[.+?\]\((\d{4})-([a-z0-9-]+)\.md\)", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _, _ in listed] == list(range(1, len(listed) + 1))
    assert [f"{padded}-{name}.md" for _, padded, name in listed] == sorted(p.name for p in DECISIONS.glob("0*.md"))
    for number, padded, _ in listed:
        assert int(number) == int(padded)


def test_no_link_of_the_documentation_leads_nowhere() -> None:
    """Every relative link in README.md and docs/ names a file that is there."""
    root = DECISIONS.parents[1]
    for page in (root / "README.md", root / "CHANGELOG.md", *root.glob("docs/**/*.md")):
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(root)} links to {target}"
