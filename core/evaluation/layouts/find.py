"""Which files of a folder hold the rows that a task of lm-eval loads from the hub."""

from collections.abc import Callable

from core.errors import DataError
from core.evaluation.layouts.folder import DataFolder, Splits
from core.evaluation.layouts.generation import (
    find_big_bench,
    find_big_bench_hard,
    find_lines,
    find_squad,
    find_trivia_qa,
)
from core.evaluation.layouts.glue import find_glue
from core.evaluation.layouts.hub import find_snapshot
from core.evaluation.layouts.multiple_choice import (
    find_arc,
    find_hellaswag,
    find_mmlu,
    find_piqa,
    find_truthful_qa,
    find_winogrande,
)
from core.evaluation.layouts.super_glue import find_super_glue

_OFFICIAL: dict[str, Callable[[DataFolder, str], Splits]] = {
    "cais/mmlu": find_mmlu,
    "nyu-mll/glue": find_glue,
    "aps/super_glue": find_super_glue,
    "allenai/ai2_arc": find_arc,
    "Rowan/hellaswag": find_hellaswag,
    "baber/piqa": find_piqa,
    "allenai/winogrande": find_winogrande,
    "truthfulqa/truthful_qa": find_truthful_qa,
    "rajpurkar/squad": lambda folder, _: find_squad(folder, "v1"),
    "lighteval/squad_v2": lambda folder, _: find_squad(folder, "v2"),
    "mandarjoshi/trivia_qa": find_trivia_qa,
    "hails/bigbench": find_big_bench,
    "SaylorTwift/bbh": find_big_bench_hard,
    "openai/openai_humaneval": find_lines(
        {"test": r"human-?_?eval[^/]*\.jsonl(?:\.gz)?"},
        ["task_id", "prompt", "canonical_solution", "test", "entry_point"],
    ),
    "openai/gsm8k": find_lines(
        {name: rf"(?:gsm8k|grade_school_math|grade-school-math)[^/]*/(?:data/)?{name}\.jsonl" for name in ("train", "test")},
        ["question", "answer"],
    ),
    "fuata/pocket_families": find_lines(
        {"test": r"pocket_families\.jsonl"}, ["question", "input", "choices", "answer", "family"]
    ),
    "google/IFEval": find_lines(
        {"train": r"(?:ifeval|instruction_following_eval)[^/]*/(?:data/)?(?:ifeval_)?input_data\.jsonl"},
        ["key", "prompt", "instruction_id_list", "kwargs"],
    ),
}  # fmt: skip


def find_splits(folder: DataFolder, dataset: str, config: str) -> Splits:
    """Return the splits of a dataset that lie in a folder, as on the hub or as its authors publish
    it.

    Raises DataError where there are none.
    """
    splits = find_snapshot(folder, dataset, config)
    if not splits and (find := _OFFICIAL.get(dataset)):
        splits = find(folder, config)
    if not splits:
        part = f" ({config})" if config else ""
        raise DataError(
            f"{folder.folder} holds no data of {dataset}{part}, neither as its authors publish it "
            "nor as it lies on the hub."
        )
    return splits
