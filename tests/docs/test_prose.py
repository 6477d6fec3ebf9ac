"""The linter of prose, its rules and Markdown: it finds each place that breaks a rule, at its line, and nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.prose import allowances, commits, markdown
from docs.prose.__main__ import ROOT, files, main
from docs.prose.rules import BANNED, OPENINGS, SPELLINGS, WORDS_MAX, Finding, check

LONG = " ".join(["Viewers", *["word"] * WORDS_MAX])


def in_markdown(text: str) -> list[tuple[int, str]]:
    """Line and rule of each finding."""
    return [(f.line, f.rule) for passage in markdown.passages(text) for f in check("x.md", passage)]


@pytest.mark.parametrize("word", sorted(OPENINGS - {"whoever"}))
def test_no_sentence_begins_with_these_words(word: str) -> None:
    """A statement that begins with one of the words is found in a paragraph, a list, a heading, a cell and behind a label."""
    statement = f"{word.capitalize()} of them are here."
    assert in_markdown(f"Rooms open.\n{statement}\n") == [(2, "opening")]
    assert in_markdown(f"- {statement.lower()}\n") == [(1, "opening")]
    assert in_markdown(f"# {statement}\n") == [(1, "opening")]
    assert in_markdown(f"| Place | Meaning |\n| --- | --- |\n| x | {statement} |\n") == [(3, "opening")]
    assert in_markdown(f"**Rooms.** {statement}\n") == [(1, "opening")]
    assert in_markdown(f"**{statement}**\n") == [(1, "opening")]
    assert in_markdown(f"> {statement}\n") == [(1, "opening")]


@pytest.mark.parametrize("word", sorted(OPENINGS - {"whoever"}))
def test_the_same_words_may_stand_elsewhere(word: str) -> None:
    """Questions may begin with them, and so may code, longer words and the heading of a table's column."""
    assert in_markdown(f"{word.capitalize()} is it?\n") == []
    assert in_markdown(f"Rooms know {word} they are.\n") == []
    assert in_markdown(f"`{word.capitalize()}` is a value.\n") == []
    assert in_markdown(f"{word.capitalize()}-x is a value.\n") == []
    assert in_markdown(f"{word.capitalize()}ix is a value.\n") == []
    assert in_markdown(f"| {word.capitalize()} it is | Meaning |\n| --- | --- |\n| x | y |\n") == []


@pytest.mark.parametrize("words", BANNED)
def test_banned_words_are_found(words: str) -> None:
    """In any case, across a line's end and in any place of a sentence; not in code, a longer word or a link's target."""
    assert (1, "banned") in in_markdown(f"Rooms x {words} y.\n")
    assert (1, "banned") in in_markdown(f"Rooms x {words.upper()}.\n")
    assert (1, "banned") in in_markdown("Rooms x {} y.\n".format(words.replace(" ", "\n")))
    assert (1, "banned") in in_markdown(f"Rooms [{words}](x.md).\n")
    assert in_markdown(f"Rooms say `{words}`.\n") == []
    assert in_markdown(f"Rooms say {words}x.\n") == []
    assert in_markdown(f"Rooms are at https://example.com/{words.replace(' ', '-')}/{words.split()[-1]}.\n") == []
    assert in_markdown(f"Rooms [x]({words.replace(' ', '_')}.md).\n") == []


@pytest.mark.parametrize(("british", "american"), SPELLINGS.items())
def test_american_english_is_kept(british: str, american: str) -> None:
    """A British spelling is found in any case and form; the American one and code are not."""
    assert in_markdown(f"Rooms x {british.title()} y.\n") == [(1, "spelling")]
    assert (2, "spelling") in in_markdown(f"Rooms x\n{british} y.\n")
    longer = [] if " " in british else [(1, "spelling")]
    assert in_markdown(f"Rooms x {british}s y.\n") == longer
    assert in_markdown(f"Rooms x {american} and `{british}`.\n") == []


def test_a_long_sentence_is_found() -> None:
    """Thirty words are allowed and one more is not; code, a link's target and a dash are no words more."""
    assert in_markdown(LONG + ".\n") == [(1, "length")]
    short = LONG.removesuffix(" word")
    assert in_markdown(short + ".\n") == []
    assert in_markdown(short.replace("word word", "`many words in code` word") + ".\n") == []
    assert in_markdown(short.replace("word word", "[word](a.md) - word") + ".\n") == []
    assert in_markdown(f"{short}.\n{short}.\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "Rooms open.\nRooms close.\n",
        "Rooms open (or close).\n(Rooms close.)\nRooms stay!\n",
        "- Rooms open.\n  Rooms close.\n- Rooms stay.\n",
        "**Rooms.** They open.\nRooms close.\n",
        "Rooms are, e.g. Room one, open at 1.5 s (cf. Rooms).\n",
        "Rooms end in `. A` and at https://example.com/a.\nB is next.\n",
        "Rooms 1 ... 5 and a, ... Z etc. are open.\n",
        "Rooms open (vs. close).\n",
        "Rooms open, close etc.\nRooms stay.\n",
        "Rooms\n\n---\n\nRooms\n=====\n",
        "Rooms answer these:\n`x` and `y`.\n",
        "Rooms break here  \nand go on.\n",
        "| Rooms | Text |\n| --- | --- |\n| a | Rooms open. Rooms close. |\n",
        "> Rooms open.\n> Rooms close.\n",
        "Rooms open\n\nRooms close\n",
    ],
)
def test_lines_end_where_sentences_end(text: str) -> None:
    """A sentence a line is right; tables have no lines to break, and a label in bold may share its line."""
    assert in_markdown(text) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Rooms open. Rooms close.\n", [1]),
        ("Rooms\nopen.\n", [1]),
        ("Rooms open.\nRooms close. `x` is next.\n", [2]),
        ("Rooms open? 3 do.\n", [1]),
        ("Rooms open. liveroom closes.\n", [1]),
        ("Rooms open at https://example.com/a. Rooms close.\n", [1]),
        ('Rooms say "open." Rooms close.\n', [1]),
        ("- Rooms open.\n- Rooms (all of\n  them) close.\n", [2]),
        ("Rooms **open.** Rooms close.\n", [1]),
        ("> Rooms open. Rooms close.\n", [1]),
        ("Rooms open.\n**They.** Rooms close.\n", [2]),
        ("Rooms\nare\nopen.\n", [1, 2]),
        ("Rooms\nopen. Rooms close.\n", [1, 2]),
    ],
)
def test_other_line_ends_are_found(text: str, lines: list[int]) -> None:
    """A line that ends inside a sentence, and one with two sentences."""
    assert in_markdown(text) == [(line, "wrap") for line in lines]


def test_code_comments_and_generated_parts_are_no_prose() -> None:
    """Fenced and indented code, comments and what is made from the classes are passed over, and lines keep their numbers."""
    bad = "What is\nthis. As anew."
    for passed_over in (
        f"```\n{bad}\n```\n",
        f"~~~ text\n{bad}\n```\n~~~\n",
        f"```\nRooms\n``` x\n{bad}\n```\n",
        f"- Item:\n  ```\n  {bad}\n  ```\n",
        "    What is anew.\n",
        f"<!-- {bad} -->\n",
        f"<!-- begin x: made by `python -m docs.generate` -->\n\n{bad}\n\n<!-- end x -->\n",
        "[x]: As-anew anew\n",
    ):
        assert in_markdown(f"{passed_over}\nRooms open.\n") == [], passed_over
        assert in_markdown(f"{passed_over}\nAs is.\n") == [(passed_over.count("\n") + 2, "opening")], passed_over


def found(*rules: str) -> list[Finding]:
    return [Finding("a.md", 1, rule, "some words here") for rule in rules]


def test_an_allowance_covers_its_finding_and_must_be_used() -> None:
    """Path, rule and words have to fit; an unused allowance is wrong, and so is one without a reason."""
    allowed = allowances.Allowance("a.md", "banned", "words", "a quotation")
    assert allowances.judge(found("banned"), [allowed]) == []
    assert len(allowances.judge(found("banned", "length"), [allowed])) == 1
    assert len(allowances.judge(found("length"), [allowed])) == 2
    assert len(allowances.judge(found("banned"), [allowances.Allowance("b.md", "banned", "words", "x")])) == 2
    assert len(allowances.judge(found("banned"), [allowances.Allowance("a.md", "banned", "other", "x")])) == 2
    assert "not used" in allowances.judge([], [allowed])[0]
    assert "no reason" in allowances.judge(found("banned"), [allowances.Allowance("a.md", "banned", "words", " ")])[0]


def test_the_allowances_are_read(tmp_path: Path) -> None:
    """An allowance has exactly its four fields."""
    allowed = tmp_path / "allowed.toml"
    allowed.write_text('[[allow]]\npath = "a.md"\nrule = "wrap"\nwords = "x"\nreason = "y"\n', encoding="utf-8")
    assert allowances.read(allowed) == [allowances.Allowance("a.md", "wrap", "x", "y")]
    allowed.write_text('[[allow]]\npath = "a.md"\n', encoding="utf-8")
    with pytest.raises(TypeError):
        allowances.read(allowed)


def git(folder: Path, *arguments: str) -> None:
    """One git command in a repository of the test."""
    author = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True, timeout=20)


def commit(folder: Path, subject: str) -> None:
    """A commit without files."""
    git(folder, "commit", "--allow-empty", "--no-gpg-sign", "-m", subject)


def test_long_commit_subjects_are_found(tmp_path: Path) -> None:
    """The longest subject has 72 characters, in the newest commits and in all of a branch; without a repository there is nothing to find."""
    assert list(commits.check(tmp_path)) == []
    git(tmp_path, "init", "--initial-branch=main")
    commit(tmp_path, "a" * 72)
    commit(tmp_path, "b" * 73)
    assert [(f.rule, f.words) for f in commits.check(tmp_path)] == [("subject", "b" * 73)]
    (tmp_path / "archive").mkdir()
    assert list(commits.check(tmp_path / "archive")) == []
    git(tmp_path, "checkout", "-b", "other")
    commit(tmp_path, "c" * 73)
    for _ in range(commits.COMMITS):
        commit(tmp_path, "d")
    assert [f.words for f in commits.check(tmp_path)] == ["c" * 73]
    git(tmp_path, "checkout", "main")
    git(tmp_path, "merge", "--ff-only", "other")
    assert list(commits.check(tmp_path)) == []


def test_all_prose_is_looked_at() -> None:
    """Pages, Python, JavaScript, style sheets and configuration of all folders and of the top, except generated documents."""
    assert {
        ".ci/run",
        "Dockerfile",
        "Makefile",
        "deploy/compose.yaml",
        "deploy/grafana/dashboards/liveroom.json",
        "deploy/k8s/liveroom.toml",
        "deploy/prometheus/rules.yml",
        "liveroom/console/static/css/base.css",
        "loadtests/lib/cli.py",
        "pyproject.toml",
        "liveroom/cli.py",
        "liveroom/client/liveroom.js",
        "deploy/run_cluster.py",
        "docs/prose/rules.py",
        "tests/conftest.py",
        "tests/pages/fold.mjs",
    } <= set(files(ROOT))
    assert {"README.md", "CHANGELOG.md", "docs/money.md", "docs/decisions/0010-kafka.md", "tests/docs/fixtures/README.md"} <= set(files(ROOT))
    assert "docs/openapi.yaml" not in files(ROOT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a clean page and no allowances."""
    (tmp_path / "docs" / "prose").mkdir(parents=True)
    (tmp_path / "docs" / "clean.md").write_text("Rooms open.\n", encoding="utf-8")
    (tmp_path / "docs" / "prose" / "allowed.toml").write_text("", encoding="utf-8")
    return tmp_path


def test_the_command_fails_with_each_finding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding fails the command with its file, line, rule and words; packages of others are not read."""
    assert main([], project) == 0
    assert capsys.readouterr().out == ""
    (project / "tests" / "node_modules").mkdir(parents=True)
    (project / "tests" / "node_modules" / "README.md").write_text("As is.\n", encoding="utf-8")
    assert main([], project) == 0
    (project / "README.md").write_text("Rooms open.\nThey begin anew today.\n", encoding="utf-8")
    assert main([], project) == 1
    assert capsys.readouterr().out.startswith("README.md:2: banned: has a plainer word: anew today.\n")


def test_an_allowance_holds_for_the_whole_check_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named file or folder shows its findings without the allowances."""
    (project / "docs" / "old.md").write_text("# Rooms\n\nAs is.\n", encoding="utf-8")
    allowed = '[[allow]]\npath = "docs/old.md"\nrule = "opening"\nwords = "As is"\nreason = "a quotation"\n'
    (project / "docs" / "prose" / "allowed.toml").write_text(allowed, encoding="utf-8")
    assert main([], project) == 0
    assert main([str(project / "docs" / "clean.md")], project) == 0
    assert main([str(project / "docs")], project) == 1
    assert 'docs/old.md:3: opening: no sentence begins with "as": As is.\n' in capsys.readouterr().out


def test_the_command_looks_at_commits(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A long subject fails the command, too."""
    git(project, "init", "--initial-branch=main")
    commit(project, "a" * 73)
    assert main([], project) == 1
    assert ": subject: 73 characters, at most 72: aaa" in capsys.readouterr().out


def test_the_rules_are_written_down() -> None:
    """CONTRIBUTING.md names every word and bound of the rules."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rules = {row.split("|")[1].strip(" `"): row for row in text.splitlines() if row.startswith("| `")}
    assert set(re.findall(r"`(\w+)`", rules["opening"].split("|")[2])) == OPENINGS
    assert set(re.findall(r"`([^`]+)`", rules["banned"].split("|")[2])) == set(BANNED)
    assert all(f"`{british}`" in rules["spelling"] for british in SPELLINGS)
    assert f"at most {WORDS_MAX} words" in rules["length"]
    assert f"at most {commits.SUBJECT_MAX} characters" in rules["subject"]
    assert "wrap" in rules
