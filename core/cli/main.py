"""The engine's command line without a screen: check, fetch, preview, train, generate, score,
evaluate, export.

Knows options, not what they do.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from core.cli.data_options import add_files, add_row_options
from core.cli.output import OneLineParser, add_sampling_options, common_options, run_command, whole
from core.datasets.choices import DATASET_FORMATS
from core.datasets.conversation import SPLIT_NAMES
from core.evaluation.choices import OWN_CHECKS
from core.export.choices import EXPORT_FORMS, QUANTISATIONS
from core.prompts.built_in import BUILT_IN
from core.training.settings import SAVED_TYPES, SETTINGS, Setting, TrainingSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_command(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m core", description="Fuata without a screen.")
    known = parser.add_subparsers(required=True, parser_class=OneLineParser, metavar="COMMAND")
    common = common_options()
    _add_check(known.add_parser("check", parents=[common], help="report on a file of instructions"))
    _add_fetch(
        known.add_parser("fetch", parents=[common], help="fetch a dataset of the Hugging Face hub")
    )
    _add_draft(
        known.add_parser(
            "draft", parents=[common], help="answer rows that have no answer, marked as drafted"
        )
    )
    _add_preview(
        known.add_parser("preview", parents=[common], help="show a row as text and tokens")
    )
    _add_train(known.add_parser("train", parents=[common], help="tune a model on a file"))
    _add_generate(
        known.add_parser("generate", parents=[common], help="answer prompts with a model")
    )
    _add_score(
        known.add_parser("score", parents=[common], help="log-probabilities of continuations")
    )
    _add_evaluate(
        known.add_parser(
            "evaluate", parents=[common], help="ask models the questions of benchmarks"
        )
    )
    _add_helm(
        known.add_parser("helm", parents=[common], help="run the real HELM against an address")
    )
    _add_benchmark(
        known.add_parser("benchmark", parents=[common], help="keep a benchmark of your own rows")
    )
    _add_import(
        known.add_parser("import", parents=[common], help="read a GGUF file into a plain folder")
    )
    _add_export(known.add_parser("export", parents=[common], help="write a model to take away"))
    return parser


def _add_model(parser: argparse.ArgumentParser, *, default: str | None = "pocket") -> None:
    parser.add_argument(
        "--model",
        metavar="M",
        default=default,
        required=default is None,
        help="pocket, a folder, a run's name or a hub id",
    )
    parser.add_argument(
        "--style",
        metavar="S",
        default="",
        help=f"{', '.join(BUILT_IN)}, model, or a .jinja file",
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    add_files(parser)
    _add_model(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the usable rows here")
    parser.add_argument(
        "--as", dest="form", choices=DATASET_FORMATS, default="messages", help="the format of --out"
    )
    parser.add_argument(
        "--refused-out", type=Path, metavar="FILE", help="write the refused rows' reasons here"
    )
    parser.set_defaults(command="core.cli.commands:check")


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="OWNER/NAME", help="its id on the hub")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder to write the file into"
    )
    parser.add_argument("--config", default="", metavar="WORD", help="a folder of it")
    parser.add_argument("--split", default="", metavar="WORD", help="train, validation or test")
    parser.add_argument("--revision", default="", metavar="WORD", help="a branch, tag or commit")
    parser.add_argument(
        "--rows", type=whole, default=0, metavar="N", help="only the first N; 0: all"
    )
    parser.set_defaults(command="core.cli.commands:fetch")


def _add_preview(parser: argparse.ArgumentParser) -> None:
    add_files(parser)
    _add_model(parser)
    parser.add_argument("--row", type=int, default=1, metavar="N", help="counted from 1")
    parser.set_defaults(command="core.cli.commands:preview")


def _add_train(parser: argparse.ArgumentParser) -> None:
    add_files(parser, optional=True)
    _add_model(parser)
    method = SETTINGS["method"]
    parser.add_argument("--method", choices=method.choices, default=None, help=method.help)
    for one in fields(TrainingSettings):
        if SETTINGS[one.name].has_option:
            _add_setting(parser, one.name, type(one.default), SETTINGS[one.name])
    parser.add_argument(
        "--train-on-prompt", action="store_true", help="let the loss see prompts as well as answers"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="that train it together, each on a GPU of its own",
    )
    parser.add_argument("--name", default="", help="the run's name")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the interrupted run --name; with --epochs N, till it has N",
    )
    parser.set_defaults(command="core.cli.commands:train")


def _add_draft(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="with prompts; rows with an answer stay")
    parser.add_argument(
        "--model", metavar="M", required=True,
        help="a run, a base model, or http://HOST:PORT/v1#MODEL",
    )  # fmt: skip
    add_sampling_options(parser, ("temperature", "top_k", "top_p", "max_new_tokens", "seed"))
    parser.add_argument(
        "--out", type=Path, metavar="FILE", required=True, help="JSON lines to write"
    )
    parser.set_defaults(command="core.cli.commands:draft")


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser, default=None)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--data", metavar="FILE", help="answer the rows of a file")
    asked.add_argument("--prompt", metavar="TEXT", help="answer one instruction")
    parser.add_argument(
        "--split", choices=SPLIT_NAMES, default=None, help="only these rows of the file"
    )
    parser.add_argument("--system", default="", metavar="TEXT", help="a system prompt")
    add_row_options(parser)
    add_sampling_options(parser, ("temperature", "top_k", "top_p", "max_new_tokens", "seed"))
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write JSON lines here instead of stdout"
    )
    parser.set_defaults(command="core.cli.commands:generate")


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", required=True, help="as for generate")
    parser.add_argument(
        "--file", type=Path, metavar="FILE", required=True,
        help="JSON lines with context and continuation",
    )  # fmt: skip
    parser.set_defaults(command="core.cli.evaluate:score")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", dest="models", nargs="+", metavar="M", default=[],
        help="pocket, a folder, a run's name or a hub id; several are compared",
    )  # fmt: skip
    parser.add_argument(
        "--tasks", metavar="A,B", default="", help="tasks, groups and suites, as lm-eval names them"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=None,
        help="folder that holds the benchmarks' data",
    )  # fmt: skip
    parser.add_argument(
        "--from-hub", action="store_true", help="fetch what no folder holds from the hub"
    )
    parser.add_argument(
        "--few-shot", type=whole, default=None, metavar="N",
        help="examples before each question; by default as many as the task shows",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=whole, default=None, metavar="N", help="only the first N questions of each"
    )
    parser.add_argument(
        "--chat-template", action="store_true", help="ask in the model's chat template"
    )
    parser.add_argument(
        "--few-shot-as-turns", action="store_true", help="examples as turns of the conversation"
    )
    parser.add_argument("--system", default="", metavar="TEXT", help="a system prompt")
    parser.add_argument(
        "--helm", action="store_true", help="also perturb questions, for HELM's views of a model"
    )
    parser.add_argument(
        "--judge", default="", metavar="M", help="the model that grades what takes a judge"
    )
    parser.add_argument(
        "--prompt-apart", action="store_true",
        help="ask the first model without the system prompt, and once more with it",
    )  # fmt: skip
    parser.add_argument(
        "--run-code", action="store_true", help="let programs that a model writes run, in a sandbox"
    )
    parser.add_argument("--name", default="", help="the evaluation's name")
    parser.add_argument("--resume", action="store_true", help="go on with the evaluation --name")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write results here: a .zip in lm-eval's layout, or .csv",
    )
    parser.add_argument(
        "--import", dest="brought", type=Path, metavar="PATH",
        help="bring in results of lm-eval or HELM instead of asking",
    )  # fmt: skip
    parser.add_argument(
        "--plan", action="store_true", help="only say what would be asked, and for how long"
    )
    parser.add_argument(
        "--list", dest="list_suites", action="store_true", help="say which suites there are"
    )
    parser.set_defaults(command="core.cli.evaluate:evaluate")


def _add_helm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="ADDRESS", help="http://HOST:PORT/v1#MODEL"
    )
    parser.add_argument(
        "--entries", nargs="+", required=True, metavar="E",
        help="HELM's run entries, without a model: mmlu:subject=anatomy",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=None, metavar="DIR", help="a folder with MMLU's files"
    )
    parser.add_argument(
        "--limit", type=whole, default=100, metavar="N", help="the first N instances of each"
    )
    parser.add_argument(
        "--environment", type=Path, default=None, metavar="DIR",
        help="where HELM is installed (default: in the workspace)",
    )  # fmt: skip
    parser.add_argument(
        "--install", action="store_true", help="install HELM there first, from the package index"
    )
    parser.add_argument("--name", default="", help="the evaluation's name")
    parser.set_defaults(command="core.cli.helm:helm")


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="with rows that have an answer")
    add_row_options(parser)
    _add_model(parser)
    parser.add_argument("--name", required=True, help="what it is called: own:NAME among the tasks")
    parser.add_argument(
        "--split", choices=(*SPLIT_NAMES, "all"), default="test", help="which rows are asked"
    )
    parser.add_argument(
        "--check", choices=OWN_CHECKS, default="exact", help="how an answer is checked"
    )
    parser.add_argument(
        "--pattern", default="", metavar="TEXT", help="of regex; else the expected answer is one"
    )
    parser.add_argument(
        "--code", type=Path, default=None, metavar="FILE",
        help="of python: a function check(prompt, expected, answer), run in the sandbox",
    )  # fmt: skip
    parser.add_argument(
        "--max-new-tokens", type=whole, default=128, metavar="N", help="longest answer"
    )
    parser.add_argument(
        "--after-runs", action="store_true", help="ask it of every run that finishes in the app"
    )
    parser.set_defaults(command="core.cli.evaluate:keep_benchmark")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a .gguf file")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True,
        help="folder to write, which must not be there yet",
    )  # fmt: skip
    parser.set_defaults(command="core.cli.commands:import_model")


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_model(parser, default=None)
    parser.add_argument(
        "--as", dest="form", choices=EXPORT_FORMS, default="merged",
        help="one model, its adapter alone, a GGUF file, or that with a Modelfile for Ollama",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="PATH", required=True,
        help="folder, .zip or .gguf file to write, which must not be there yet",
    )  # fmt: skip
    parser.add_argument(
        "--quantization", choices=QUANTISATIONS, default="q8_0",
        help="of the numbers in a GGUF file; q4_k_m takes llama.cpp's llama-quantize",
    )  # fmt: skip
    parser.add_argument(
        "--saved-type",
        choices=SAVED_TYPES,
        default="float32",
        help="of a merged model's numbers: float32, or base, the type of its base",
    )
    parser.set_defaults(command="core.cli.commands:export")


def _add_setting(parser: argparse.ArgumentParser, name: str, kind: type, setting: Setting) -> None:
    """Add a setting's option; None stands for one that was not given."""
    option = f"--{name.replace('_', '-')}"
    if kind is bool:
        parser.add_argument(option, action="store_true", default=None, help=setting.help)
        return
    read, metavar = _READ[kind]
    parser.add_argument(option, type=read, default=None, metavar=metavar, help=_help_of(setting))


def _help_of(setting: Setting) -> str:
    """Return what a setting is, and its choices."""
    text = f"{setting.help}: {', '.join(setting.choices)}" if setting.choices else setting.help
    return text.replace("%", "%%")


_READ: dict[type, tuple[Callable[[str], object], str]] = {
    int: (whole, "N"),
    float: (float, "X"),
    str: (str, "WORD"),
}
