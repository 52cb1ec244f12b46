"""The suites of public benchmarks, a line each: where they come from, what they measure, what may be
done with their data.
"""

from dataclasses import dataclass
from pathlib import Path

PERCENT_TASKS = frozenset({"squadv2"})  # whose script gives 0 to 100
BUNDLED_FOLDER = Path(__file__).parents[2] / "data" / "benchmarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One public benchmark."""

    title: str
    source: str
    licence: str
    metric: str
    questions: int  # of the official split
    folders: tuple[str, ...]  # of lm-eval, in which its tasks are named
    few_shot: int  # usually shown
    tasks: tuple[str, ...] = ()  # none where its name is lm-eval's own
    prefixes: tuple[str, ...] = ()  # with which names of its tasks begin
    found_by: tuple[str, ...] = ()  # patterns of paths, of which one lies in a folder with its data
    reads: str = ""  # names of files that are read, as a user may look for them

    def has(self, name: str) -> bool:
        """Return whether a task's name is one of its own."""
        return name in self.tasks or name.startswith(self.prefixes or ("\0",))


_GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "mnli_mismatch", "qnli", "rte", "wnli")
_SUPER_GLUE = (
    "boolq", "cb", "copa", "multirc_official", "record", "sglue_rte", "wic", "wsc",
)  # fmt: skip

SUITES = {
    "pocket_families": Suite(
        title="pocket's families", source="Fuata, data/pocket", licence="Apache-2.0",
        metric="accuracy; exact match", questions=380, folders=(), few_shot=0,
        tasks=("pocket_choice", "pocket_exact"),
        reads="ships with Fuata",
    ),
    "mmlu": Suite(
        title="MMLU", source="Hendrycks et al. 2021, arXiv 2009.03300", licence="MIT",
        metric="accuracy, weighted by size", questions=14_042, folders=("mmlu",), few_shot=5,
        prefixes=("mmlu_", "mmlu"), reads="dev/SUBJECT_dev.csv, test/SUBJECT_test.csv",
        found_by=(r"\w+_test\.csv", r"mmlu/.+\.parquet"),
    ),
    "mmlu_pro": Suite(
        title="MMLU-Pro", source="Wang et al. 2024, arXiv 2406.01574", licence="MIT",
        metric="exact match", questions=12_032, folders=("mmlu_pro",), few_shot=5,
        prefixes=("mmlu_pro",), reads="MMLU-Pro/data/*.parquet",
        found_by=(r"mmlu[-_]pro/.+\.parquet",),
    ),
    "glue": Suite(
        title="GLUE", source="Wang et al. 2018, arXiv 1804.07461",
        licence="of each task; QQP not for commerce", metric="mean of its nine tasks",
        questions=69_711, folders=("glue",), few_shot=0, tasks=_GLUE, reads="TASK/dev.tsv",
        found_by=(r"(?:CoLA|SST-?2|MRPC|STS-?B|QQP|MNLI|QNLI|RTE|WNLI)/dev\w*\.tsv", r"mrpc_dev\.csv", r"glue/.+\.parquet"),
    ),
    "super_glue": Suite(
        title="SuperGLUE", source="Wang et al. 2019, arXiv 1905.00537",
        licence="of each task; WiC CC BY-NC", metric="mean of its eight tasks", questions=19_294,
        folders=("super_glue",), few_shot=0, tasks=_SUPER_GLUE,
        prefixes=("multirc",), reads="TASK/val.jsonl",
        found_by=(r"(?:BoolQ|CB|COPA|MultiRC|ReCoRD|WiC|WSC)[./](?:train|val)\w*\.jsonl", r"super_glue/.+\.parquet"),
    ),
    "bigbench": Suite(
        title="BIG-bench", source="Srivastava et al. 2022, arXiv 2206.04615", licence="Apache-2.0",
        metric="accuracy or exact match", questions=0, folders=("bigbench",), few_shot=0,
        prefixes=("bigbench_",), reads="TASK/task.json, or big-bench/TASK.json",
        found_by=(r"\w+/task\.json", r"big-?_?bench/\w+\.json"),
    ),
    "bbh": Suite(
        title="BIG-bench Hard", source="Suzgun et al. 2022, arXiv 2210.09261", licence="MIT",
        metric="exact match", questions=6_511, folders=("bbh",), few_shot=3, prefixes=("bbh",),
        reads="bbh/TASK.json",
        found_by=(r"(?:[^/]*bbh[^/]*|big-?bench-?hard)/\w+\.json",),
    ),
    "squad": Suite(
        title="SQuAD 1.1", source="Rajpurkar et al. 2016, arXiv 1606.05250",
        licence="CC BY-SA 4.0", metric="exact match, F1", questions=10_570, folders=(), few_shot=0,
        reads="dev-v1.1.json",
        found_by=(r"dev-v1\.1[^/]*\.json", r"squad/.+\.parquet"),
    ),
    "squadv2": Suite(
        title="SQuAD 2.0", source="Rajpurkar et al. 2018, arXiv 1806.03822",
        licence="CC BY-SA 4.0", metric="exact match, F1", questions=11_873, folders=(), few_shot=0,
        reads="dev-v2.0.json",
        found_by=(r"dev-v2\.0[^/]*\.json", r"squad_v2/.+\.parquet"),
    ),
    "triviaqa": Suite(
        title="TriviaQA", source="Joshi et al. 2017, arXiv 1705.03551", licence="none stated",
        metric="exact match over aliases", questions=17_944, folders=("triviaqa",), few_shot=0,
        prefixes=("triviaqa",), reads="web-dev.json, wikipedia-dev.json",
        found_by=(r"(?:web|wikipedia)-dev\.json", r"trivia_?qa[^/]*\.json", r"trivia_qa/.+\.parquet"),
    ),
    "humaneval": Suite(
        title="HumanEval", source="Chen et al. 2021, arXiv 2107.03374", licence="MIT",
        metric="pass@k", questions=164, folders=(), few_shot=0, prefixes=("humaneval",),
        reads="HumanEval.jsonl.gz",
        found_by=(r"human-?_?eval[^/]*\.jsonl(?:\.gz)?", r"openai_humaneval/.+\.parquet"),
    ),
    "openai_evals": Suite(
        title="OpenAI Evals", source="openai/evals", licence="MIT; some data CC BY, CC BY-NC",
        metric="accuracy", questions=0, folders=(), few_shot=0, prefixes=("evals:",),
        reads="registry/evals/*.yaml, registry/data", found_by=(r"registry/evals/[^/]+\.ya?ml",),
    ),
    "ifeval": Suite(
        title="IFEval", source="Zhou et al. 2023, arXiv 2311.07911", licence="Apache-2.0",
        metric="instructions followed", questions=541, folders=("ifeval",), few_shot=0,
        prefixes=("ifeval",), reads="ifeval/input_data.jsonl",
        found_by=(r"(?:ifeval|instruction_following_eval)[^/]*/(?:data/)?(?:ifeval_)?input_data\.jsonl",),
    ),
    "gsm8k": Suite(
        title="GSM8K", source="Cobbe et al. 2021, arXiv 2110.14168", licence="MIT",
        metric="exact match", questions=1_319, folders=("gsm8k",), few_shot=5, prefixes=("gsm8k",),
        reads="gsm8k/train.jsonl, gsm8k/test.jsonl",
        found_by=(r"(?:gsm8k|grade[-_]school[-_]math)/(?:data/)?test\.jsonl", r"gsm8k/.+\.parquet"),
    ),
    "ai2_arc": Suite(
        title="ARC", source="Clark et al. 2018, arXiv 1803.05457", licence="CC BY-SA 4.0",
        metric="accuracy", questions=3_548, folders=("arc",), few_shot=0, prefixes=("arc_",),
        tasks=("arc_easy", "arc_challenge"), reads="ARC-Easy-Test.jsonl, ARC-Challenge-Test.jsonl",
        found_by=(r"ARC-(?:Easy|Challenge)-Test\.jsonl", r"ai2_arc/.+\.parquet"),
    ),
    "hellaswag": Suite(
        title="HellaSwag", source="Zellers et al. 2019, arXiv 1905.07830", licence="MIT",
        metric="accuracy, by length", questions=10_042, folders=("hellaswag",), few_shot=0,
        prefixes=("hellaswag",), reads="hellaswag_val.jsonl",
        found_by=(r"hellaswag_val\.jsonl", r"hellaswag/.+\.parquet"),
    ),
    "truthfulqa": Suite(
        title="TruthfulQA", source="Lin et al. 2021, arXiv 2109.07958", licence="Apache-2.0",
        metric="accuracy", questions=817, folders=("truthfulqa",), few_shot=0,
        prefixes=("truthfulqa_mc",), tasks=("truthfulqa_mc1", "truthfulqa_mc2"),
        reads="mc_task.json",
        found_by=(r"mc_task\.json", r"truthful_qa/.+\.parquet"),
    ),
    "winogrande": Suite(
        title="WinoGrande", source="Sakaguchi et al. 2019, arXiv 1907.10641", licence="CC BY",
        metric="accuracy", questions=1_267, folders=("winogrande",), few_shot=0,
        prefixes=("winogrande",), reads="winogrande/dev.jsonl",
        found_by=(r"winogrande[^/]*/dev\.jsonl", r"winogrande/.+\.parquet"),
    ),
    "piqa": Suite(
        title="PIQA", source="Bisk et al. 2019, arXiv 1911.11641", licence="AFL-3.0",
        metric="accuracy", questions=1_838, folders=("piqa",), few_shot=0, prefixes=("piqa",),
        reads="valid.jsonl, valid-labels.lst",
        found_by=(r"valid-labels\.lst", r"piqa/.+\.parquet"),
    ),
}  # fmt: skip
