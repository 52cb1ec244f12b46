"""What the documents say of the tree is so."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def drawn_tree(document: str) -> set[str]:
    """Return the paths of the indented tree in a document, folders with a slash at their end."""
    text = (ROOT / document).read_text(encoding="utf-8")
    [block] = [
        block
        for block in re.findall(r"```\n(.*?)```", text, re.DOTALL)
        if block.startswith("app.py")
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
        for path in (ROOT / "ui").glob("*.py")
        if path.name != "__init__.py"
    }
    assert drawn == real | {"app.py"}


def test_the_files_named_beside_each_screen_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in ("data", "train", "chat", "review", "results"):
        [line] = re.findall(rf"^  {name}/ +(tab\.py.*)$", text, re.MULTILINE)
        named = set(re.findall(r"\w+\.py", line))
        assert named == {path.name for path in (ROOT / "ui" / name).glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_every_path_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for path in re.findall(r"`((?:core|review|ui|tests|benchmarks|docs|data)/[\w./-]*\w)`", text):
        if not path.startswith("data/workspace"):
            assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((?!https?:)([\w./-]+)\)", text):
        assert (ROOT / path).exists(), path


def test_the_readme_has_the_two_commands_and_a_picture_of_every_screen() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python -m pip install -r requirements.txt && python app.py" in text
    assert "python -m pip install -r requirements-dev.txt && python -m pytest" in text
    for name in ("data", "train", "chat", "review", "results"):
        assert f"docs/{name}.png" in text
        assert (ROOT / "docs" / f"{name}.png").stat().st_size > 10_000


def test_the_schema_that_is_written_down_is_the_one_that_migrations_make(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    from write_schema import current_schema

    written = (ROOT / "docs" / "schema.sql").read_text(encoding="utf-8")
    assert written == current_schema(tmp_path), "run python docs/write_schema.py"
