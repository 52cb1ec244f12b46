"""Who may import whom: the rooms of ``ROOMS``, which ARCHITECTURE draws, and the libraries of
``ONLY_IN``.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ["core", "review", "ui", "app"]
RECIPES = "data"
ROOMS = {  # of each floor, the lowest first; those on one level know nothing of each other
    "core": [
        {"errors", "libraries", "text"}, {"storage", "processes", "progress"}, {"hub"}, {"datasets"}, {"prompts"}, {"models"}, {"generation", "scoring"}, {"training"}, {"evaluation", "export"}, {"cli"}, {"__main__"},
    ],
    "core.training": [{"distributed", "events", "settings"}, {"kernels"}, {"planning"}, {"loop"}, {"runs"}],
    "review": [{"domain", "statistics"}, {"store"}, {"results", "judging", "setup", "exchange"}, {"judges", "arena"}, {"cli"}, {"__main__"}],
    "ui": [
        {"theme", "markup", "svg_chart", "middleware", "uploads", "impatience", "accounts",
         "api_access", "scripts"},
        {"gradio_events", "services", "gate"},
        {"error_messages"},
        {"progress"},
        {"data", "train", "chat", "results", "api", "benchmarks", "arena"},
        {"review"},
        {"page"},
    ],
}  # fmt: skip
ONLY_IN = {
    "gradio": ("ui",),
    "plotly": ("ui",),
    "fastapi": ("ui", "app"),
    "uvicorn": ("app", "ui"),
    "argon2": ("ui",),
    "torch": ("core", "data/pocket"),
    "transformers": ("core", "data/pocket"),
    "peft": ("core",),
    "sqlite3": ("core/storage",),
    "sqlite_utils": ("core/storage", "review/store", "review/judging"),
}
# The app loads these behind the page, after it has been answered.
EXCEPTIONS = {("app.py", "torch"), ("app.py", "transformers"), ("app.py", "peft")}


def sources() -> list[Path]:
    folders = [*LAYERS[:3], f"{RECIPES}/pocket"]
    return [
        ROOT / "app.py",
        *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))),
    ]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_the_house(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    home = name.split("/", maxsplit=1)[0].removesuffix(".py")
    allowed = {"core", RECIPES} if home == RECIPES else set(LAYERS[: LAYERS.index(home) + 1])
    for module in imports(path):
        top = module.split(".")[0]
        assert top not in {*LAYERS, RECIPES} or top in allowed, f"{name} imports {module}"
        if top in ONLY_IN and (name, top) not in EXCEPTIONS:
            assert name.removesuffix(".py").startswith(ONLY_IN[top]), f"{name} imports {module}"


def all_sources() -> list[Path]:
    more = [
        path for folder in ("tests", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")
    ]
    return [*sources(), *more]


def tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(text).readline)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("floor", ROOMS)
def test_rooms_use_only_those_below_them(floor: str) -> None:
    levels = {room: number for number, level in enumerate(ROOMS[floor]) for room in level}
    inside = [path for path in sources() if module_of(path).startswith(f"{floor}.")]
    assert {module_of(path).removeprefix(f"{floor}.").split(".")[0] for path in inside} == set(
        levels
    )
    for path in inside:
        room = module_of(path).removeprefix(f"{floor}.").split(".")[0]
        for module in imports(path):
            other = module.removeprefix(f"{floor}.").split(".")[0]
            if module.startswith(f"{floor}.") and other != room:
                assert levels[other] < levels[room], f"{module_of(path)} imports {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even in one that is closed inside a function."""
    names = {module_of(path) for path in sources()}
    uses = {
        module_of(path): {module for module in imports(path) if module in names}
        for path in sources()
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " ▶ ".join((*way, module))
        if module not in done:
            for other in sorted(uses[module]):
                visit(other, (*way, module))
            done.add(module)

    for module in sorted(names):
        visit(module, ())


@pytest.mark.parametrize(
    "module",
    [
        "core.cli.main",
        "core.cli.commands",
        "review.cli.main",
        "review.cli.commands",
        "review.results.report",
        "review.judging.judge",
        "core.datasets.check",
    ],
)
def test_light_commands_load_no_heavy_library(module: str) -> None:
    heavy = "{'torch', 'transformers', 'peft', 'gradio', 'plotly'}"
    script = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert loaded == "[]"


@pytest.mark.parametrize("module", ["core.cli.main", "review.cli.main"])
def test_options_are_read_by_the_standard_library_alone(module: str) -> None:
    """So that --help and a mistyped option answer at once."""
    script = (
        f"import sys; before = set(sys.modules); import {module}; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in loaded if name not in sys.stdlib_module_names} <= {"core", "review"}


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    for path in [*sources(), *(ROOT / "tests").rglob("*.py")]:
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= 500 or path.name == "migrations.py", path  # which only grow


def test_no_function_is_longer_than_sixty_lines() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = (
                    node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                )
                assert body[-1].end_lineno - body[0].lineno < 60, f"{path}: {node.name}"


def scripts() -> list[Path]:
    """Return every script that a page runs, and their tests."""
    return [*sorted((ROOT / "ui").rglob("*.js")), *sorted((ROOT / "tests" / "js").glob("*.js"))]


def test_no_script_is_longer_than_five_hundred_lines_or_wider_than_a_hundred() -> None:
    """Biome keeps their functions under sixty lines (biome.json)."""
    assert len(scripts()) > 10
    for path in scripts():
        lines = path.read_text(encoding="utf-8").split("\n")
        assert len(lines) <= 500, path
        assert max(map(len, lines)) <= 100, path


def test_styles_are_as_wide_as_code() -> None:
    for path in (ROOT / "ui").rglob("*.css"):
        assert max(map(len, path.read_text(encoding="utf-8").split("\n"))) <= 100, path


def test_every_script_is_a_module_whose_types_are_checked() -> None:
    for path in sorted((ROOT / "ui").rglob("*.js")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// @ts-check\n"), path
        for imported in re.findall(
            r"^(?:import|\} from|import .* from) .*?[\"'](.+?)[\"'];$", text, re.MULTILINE
        ):
            assert (path.parent / imported).resolve().is_file(), f"{path} imports {imported}"


def test_hardly_a_line_is_over_a_hundred_wide() -> None:
    lines = [
        line for path in all_sources() for line in path.read_text(encoding="utf-8").split("\n")
    ]
    assert sum(len(line) > 100 for line in lines) < len(lines) / 100


# Names that nobody of the field would search for, and what they are called now (ARCHITECTURE).
PRIVATE_NAMES = {
    "keep_little_for_the_backward", "hold_frozen", "laid_out_as", "computing_type", "computing_in",
    "_in_the_usual_way", "quickest", "from_first", "add_up", "ALONE", "joined_group",
    "enlarged_group", "_MEETING", "_PARTING_S", "_told", "_has_run_dry", "_NO_ZERO", "by_logits",
    "_learn", "quicken", "_normed", "_Normed", "by_out", "by_x", "homes", "asked_logits", "Wishes", "set_wish", "wish", "said_in", "ended", "_doing",
    "_why", "ModelShelf", "Speaker", "shelf", "speaker", "chance", "_gives_itself_away",
    "_telling_words", "Walk", "_arcs", "went", "knew", "settles", "low_id", "high_id", "Look",
    "guard_words", "draw_details", "PERSONS_MISTAKE", "Behind", "Disputes",
}  # fmt: skip
ALLOWED_PRIVATE = {
    "review/cli/commands.py": {"knew"},  # the option of a released command
}
PRIVATE_TABLES = {"walks", "ways", "holds", "tallies", "repeats"}
PRIVATE_MODULES = {
    "shapes", "files", "questions", "duplicates", "checks", "wishes", "worker", "shelf", "speaker",
    "products", "head", "quick_layers", "packed_rows", "flat_rows", "trial", "order", "disputes",
    "repeats", "choosing", "leaks", "behind", "remarks", "rounds", "wording", "catalogue", "frozen",
    "group", "jobs", "making", "singles", "curves", "terminal",
}  # fmt: skip


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_code_is_named_as_the_field_names_things(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = {token.string for token in tokens(text) if token.type == tokenize.NAME}
    name = str(path.relative_to(ROOT))
    assert words & PRIVATE_NAMES <= ALLOWED_PRIVATE.get(name, set())
    assert path.stem not in PRIVATE_MODULES or name.startswith("data/")


def test_every_module_that_a_comment_names_is_there() -> None:
    names = {path.name for path in [*all_sources(), ROOT / "app.py"]}
    for path in sources():
        for word in re.findall(r"\b[a-z_]+\.py\b", path.read_text(encoding="utf-8")):
            assert word in names, f"{path}: {word}"


def test_tables_are_named_as_the_field_names_them(tmp_path: Path) -> None:
    from core.storage.workspace import Workspace
    from review.store.reviews import ReviewStore

    database = ReviewStore(Workspace(tmp_path)).database
    tables = {
        row["name"]: row["sql"] for row in database.query("SELECT name, sql FROM sqlite_master")
    }
    assert not tables.keys() & PRIVATE_TABLES
    columns = {
        row["name"] for table in tables for row in database.query(f"PRAGMA table_info({table!r})")
    }
    assert not columns & {
        "knew",
        "settles",
        "low_id",
        "high_id",
        "went",
        "place",
        "wish",
        "answers",
    }


def test_markup_is_made_by_templates_that_escape() -> None:
    """A chart's letters are escaped by ElementTree, Markdown by its library and a cleaner."""
    makers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "ui").rglob("*.py")
        if re.search(
            r"\bMarkup\(|[\"\s](</?(p|b|li|div|section|table|article)[ >])", path.read_text()
        )
    }
    assert makers <= {"ui/markup.py", "ui/svg_chart.py", "ui/review/markdown.py"}


def test_no_data_stands_in_a_component_template() -> None:
    """Gradio runs what `{{…}}` and `${…}` put into a template as JavaScript (GRADIO patterns)."""
    templates = [*(ROOT / "ui").rglob("*.html"), *(ROOT / "ui").rglob("*.css")]
    assert templates
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert "{{" not in text and "${" not in text, path


def test_component_scripts_set_text_and_never_markup() -> None:
    markup = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "setHTML")
    programs = ("eval(", "Function(", "srcdoc", "createContextualFragment")
    for path in sorted((ROOT / "ui").rglob("*.js")):
        text = path.read_text(encoding="utf-8")
        for word in (*markup, *programs):
            assert word not in text, f"{path}: {word}"
