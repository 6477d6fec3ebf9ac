"""The linter of prose, its rules and Markdown: it finds each place that breaks a rule, at its line, and nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.prose import commits, markdown, ratchet
from docs.prose.__main__ import ROOT, files, main
from docs.prose.rules import BANNED, OPENINGS, WORDS_MAX, Finding, check

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


def found(path: str, *rules: str) -> dict[str, list[Finding]]:
    return {path: [Finding(path, 1, rule, "some words here") for rule in rules]}


def test_the_list_of_old_prose_shrinks_only() -> None:
    """A listed file with findings passes; a clean, lost or doubled one does not, and neither does an unsorted list or a file beside it."""
    both = found("a.md", "wrap") | found("b.md")
    assert ratchet.judge(both, ["a.md"], []) == []
    assert len(ratchet.judge(both, [], [])) == 1
    assert "take it off" in ratchet.judge(both, ["a.md", "b.md"], [])[0]
    assert "no such file" in ratchet.judge(both, ["a.md", "c.md"], [])[0]
    assert "twice" in ratchet.judge(both, ["a.md", "a.md"], [])[0]
    more = found("a.md", "wrap") | found("b.md", "wrap")
    assert ratchet.judge(more, ["b.md", "a.md"], []) == ["the list of old prose is not sorted"]


def test_an_allowance_covers_its_finding_and_must_be_used() -> None:
    """Path, rule and words have to fit; one that nothing needs is wrong, and so is one without a reason."""
    allowed = ratchet.Allowance("a.md", "banned", "words", "a quotation")
    assert ratchet.judge(found("a.md", "banned"), [], [allowed]) == []
    assert len(ratchet.judge(found("a.md", "length"), [], [allowed])) == 2
    assert len(ratchet.judge(found("b.md", "banned"), [], [allowed])) == 2
    assert len(ratchet.judge(found("a.md", "banned"), [], [ratchet.Allowance("a.md", "banned", "other", "x")])) == 2
    assert "not used" in ratchet.judge(found("a.md"), [], [allowed])[0]
    assert "no reason" in ratchet.judge(found("a.md", "banned"), [], [ratchet.Allowance("a.md", "banned", "words", " ")])[0]
    assert "take it off" in ratchet.judge(found("a.md", "banned"), ["a.md"], [allowed])[0]


def test_tidying_takes_off_and_follows_but_never_adds() -> None:
    """A clean file leaves the list, a moved one is listed by its new path, and new findings stay findings."""
    both = found("new/a.md", "wrap") | found("b.md") | found("c.md", "wrap")
    assert ratchet.tidied(both, ["b.md", "gone.md", "old/a.md"], []) == ["new/a.md"]
    more = both | found("other/a.md", "wrap")
    assert ratchet.tidied(more, ["old/a.md", "other/a.md"], []) == ["new/a.md", "other/a.md"]
    assert ratchet.tidied(more, ["old/a.md"], []) == []


def test_the_lists_are_read(tmp_path: Path) -> None:
    """Comments and blank lines of the list are no entries; an allowance has exactly its four fields."""
    (tmp_path / "old.txt").write_text("# words\n\na.md\nb.md\n", encoding="utf-8")
    assert ratchet.entries(tmp_path / "old.txt") == ["a.md", "b.md"]
    allowed = tmp_path / "allowed.toml"
    allowed.write_text('[[allow]]\npath = "a.md"\nrule = "wrap"\nwords = "x"\nreason = "y"\n', encoding="utf-8")
    assert ratchet.allowances(allowed) == [ratchet.Allowance("a.md", "wrap", "x", "y")]
    allowed.write_text('[[allow]]\npath = "a.md"\n', encoding="utf-8")
    with pytest.raises(TypeError):
        ratchet.allowances(allowed)


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
    """Pages at the top, of docs/ and its folders, and of other folders; Python and JavaScript of all folders."""
    assert {
        "liveroom/cli.py",
        "liveroom/client/liveroom.js",
        "deploy/run_cluster.py",
        "docs/prose/rules.py",
        "tests/conftest.py",
        "tests/pages/fold.mjs",
    } <= set(files(ROOT))
    assert {"README.md", "CHANGELOG.md", "docs/money.md", "docs/decisions/0010-kafka.md", "tests/docs/fixtures/README.md"} <= set(files(ROOT))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a clean page, a page of old prose and empty lists."""
    (tmp_path / "docs" / "prose").mkdir(parents=True)
    (tmp_path / "docs" / "clean.md").write_text("Rooms open.\n", encoding="utf-8")
    (tmp_path / "docs" / "old.md").write_text("# Rooms\n\nRooms open. As is.\n", encoding="utf-8")
    (tmp_path / "docs" / "prose" / "old.txt").write_text("# words\ndocs/old.md\n", encoding="utf-8")
    (tmp_path / "docs" / "prose" / "allowed.toml").write_text("", encoding="utf-8")
    return tmp_path


def test_the_command_passes_what_holds_the_rules(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old prose on the list is silent, and new findings elsewhere fail the command with file, line, rule and words."""
    assert main([], project) == 0
    assert capsys.readouterr().out == ""
    (project / "tests" / "node_modules").mkdir(parents=True)
    (project / "tests" / "node_modules" / "README.md").write_text("As is.\n", encoding="utf-8")
    assert main([], project) == 0
    (project / "README.md").write_text("Rooms open.\nThey begin anew today.\n", encoding="utf-8")
    assert main([], project) == 1
    assert capsys.readouterr().out.startswith("README.md:2: banned: has a plainer word: anew today.\n")


def test_the_command_shows_all_findings_of_named_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named file or folder is judged without the lists."""
    assert main([str(project / "docs" / "clean.md")], project) == 0
    assert main([str(project / "docs")], project) == 1
    printed = capsys.readouterr().out
    assert "docs/old.md:3: wrap: another sentence follows on the same line: Rooms open.\n" in printed
    assert 'docs/old.md:3: opening: no sentence begins with "as": As is.\n' in printed


def test_the_command_looks_at_commits(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A long subject fails the command, too."""
    git(project, "init", "--initial-branch=main")
    commit(project, "a" * 73)
    assert main([], project) == 1
    assert ": subject: 73 characters, at most 72: aaa" in capsys.readouterr().out


def test_the_command_tidies_the_list(project: Path) -> None:
    """Once a listed page is clean the command fails until `--tidy` took it off; the words at the list's head stay."""
    (project / "docs" / "old.md").write_text("Rooms open.\n", encoding="utf-8")
    assert main([], project) == 1
    assert main(["--tidy"], project) == 0
    assert (project / "docs" / "prose" / "old.txt").read_text(encoding="utf-8") == "# words\n"
    assert main([], project) == 0


def test_the_rules_are_written_down() -> None:
    """CONTRIBUTING.md names every word and bound of the rules."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rules = {row.split("|")[1].strip(" `"): row for row in text.splitlines() if row.startswith("| `")}
    assert set(re.findall(r"`(\w+)`", rules["opening"].split("|")[2])) == OPENINGS
    assert set(re.findall(r"`([^`]+)`", rules["banned"].split("|")[2])) == set(BANNED)
    assert f"at most {WORDS_MAX} words" in rules["length"]
    assert f"at most {commits.SUBJECT_MAX} characters" in rules["subject"]
    assert "wrap" in rules
