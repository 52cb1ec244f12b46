"""What the documents say of the tree, of the commands and of each other is so."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
import core.cli.main
import review.cli.main
from tests.test_architecture import ROOMS

ROOT = Path(__file__).parents[1]
SCREENS = ("data", "train", "chat", "review", "results")
DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
MOST_README_WORDS = 700
MOST_COLUMNS = 130


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """Return a document without its code blocks and without what its links point at."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", without_code)


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options(parser: argparse.ArgumentParser, *path: str) -> Iterator[tuple[str, str]]:
    """Yield every command below a parser with each of its options."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from options(below, *path, name)
        else:
            yield from (
                (" ".join(path), name) for name in action.option_strings if name[:2] == "--"
            )


def drawn_tree(document: str) -> set[str]:
    """Return the paths of the indented tree in a document, folders with a slash at their end."""
    text = read(document)
    [block] = [
        block
        for block in re.findall(r"```\n(.*?)```", text, re.DOTALL)
        if block.startswith("app.py  ")
    ]
    paths: set[str] = set()
    folders: list[str] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders = [*folders[:depth], name]
        paths.add("".join(folders))
    return paths


def test_every_module_stands_in_the_architectures_tree_and_nothing_else() -> None:
    drawn = {path for path in drawn_tree("ARCHITECTURE.md") if path.endswith(".py")}
    real = {
        str(path.relative_to(ROOT))
        for folder in ("core", "review", "data/pocket")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    real |= {
        str(path.relative_to(ROOT))
        for folder in ("ui", "tests")
        for path in (ROOT / folder).glob("*.py")
        if path.name != "__init__.py" and not path.name.startswith("test_")
    }
    assert drawn == real | {"app.py"}


def test_the_files_named_beside_each_screen_are_there() -> None:
    text = read("ARCHITECTURE.md")
    for name in SCREENS:
        [line] = re.findall(rf"^  {name}/ +(tab\.py.*)$", text, re.MULTILINE)
        named = set(re.findall(r"\w+\.py", line))
        assert named == {path.name for path in (ROOT / "ui" / name).glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_a_document_names_is_there(document: str) -> None:
    named = re.findall(
        r"`((?:core|review|ui|tests|benchmarks|docs|data)/[\w./-]*\w/?)`", read(document)
    )
    for path in named:
        if not path.startswith("data/workspace"):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", read(document)):
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_of_prose_are_not_too_long(document: str) -> None:
    for line in prose(read(document)).splitlines():
        assert len(line) <= MOST_COLUMNS or line.startswith("|") or "http" in line, line


def test_the_readme_is_one_page_with_the_two_commands_and_four_pictures() -> None:
    text = read("README.md")
    assert "python -m pip install -r requirements.txt && python app.py" in text
    assert "python -m pip install -r requirements-dev.txt && python -m pytest" in text
    assert len(re.findall(r"\w[\w'.,:/-]*", prose(text))) <= MOST_README_WORDS
    assert len(re.findall(r"!\[[^\]]+\]\(docs/readme/\w+\.png\)", text)) == 4


def test_every_screen_has_a_heading_and_a_picture() -> None:
    text = read("docs/screens.md")
    for name in SCREENS:
        assert f"## {name.capitalize()}\n" in text
        assert f"]({name}.png)" in text
        assert (ROOT / "docs" / f"{name}.png").stat().st_size > 10_000


def test_every_document_is_linked_from_the_readme() -> None:
    for document in DOCUMENTS[1:]:
        assert f"]({document})" in read("README.md"), document


@pytest.mark.parametrize(
    ("program", "parser"),
    [
        ("python app.py", app._parser()),
        ("python -m core", core.cli.main._parser()),
        ("python -m review", review.cli.main._parser()),
    ],
    ids=["app", "core", "review"],
)
def test_every_command_and_option_is_documented(
    program: str, parser: argparse.ArgumentParser
) -> None:
    sections = re.split(r"^## ", read("docs/command-line.md"), flags=re.MULTILINE)
    everywhere = sections[0]
    for command, option in options(parser):
        wanted = re.compile(rf"^{re.escape(program)}\b[^\n]*\b{command}\b")
        own = "".join(section for section in sections if wanted.search(section))
        assert own, f"{program} {command} has no section"
        assert re.search(rf"{option}(?![\w-])", everywhere + own), f"{program} {command} {option}"


def test_no_option_is_documented_that_there_is_not() -> None:
    known = {
        option
        for parser in (app._parser(), core.cli.main._parser(), review.cli.main._parser())
        for _, option in options(parser)
    }
    for document in ("README.md", "docs/command-line.md", "docs/sharing.md", "SECURITY.md"):
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", read(document)))
        assert named <= known | {"--extra-index-url", "--no-deps"}, document


def test_the_schema_that_is_written_down_is_the_one_that_migrations_make(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    from write_schema import current_schema

    written = read("docs/schema.sql")
    assert written == current_schema(tmp_path), "run python docs/write_schema.py"


def test_the_layers_are_drawn_as_they_are_checked() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawing = text.partition("## The layers")[2].split("```")[1].replace("\n          ", " ")
    for floor, levels in ROOMS.items():
        [line] = re.findall(rf"^{floor.split('.')[-1]} +(\S.*─▶.*)$", drawing, re.MULTILINE)
        drawn = [set(level.strip().split(", ")) for level in line.split("─▶")]
        assert drawn == [level for level in reversed(levels) if level != {"__main__"}]
