"""What the screens work with, built once in app.py and passed down. Knows no component."""

from dataclasses import dataclass
from pathlib import Path

from core.datasets.dataset import load_dataset
from core.datasets.samples import find_file, samples_by_hash
from core.datasets.store import DatasetStore
from core.errors import UserError
from core.evaluation.background import EvaluationJobs
from core.evaluation.own_benchmarks import OwnBenchmarks
from core.evaluation.store import EvaluationStore
from core.export.background import ExportJobs
from core.generation.model_cache import ModelCache
from core.hub.background import ModelFetches
from core.models.gguf_file import SMOLLM2, smollm2_file
from core.models.resolve import bundled_models
from core.prompts.built_in import BUILT_IN
from core.storage.workspace import Workspace
from core.text import LONGEST_SENTENCE, shortened
from core.training.runs.queue import TrainingQueue
from core.training.runs.runner import mark_interrupted
from core.training.runs.store import RunStore
from review.arena.battles import ArenaBattles
from review.domain.states import ReviewState
from review.judges.background import JudgingJobs
from review.setup.background import ReviewJobs
from review.store.reviews import ReviewStore
from review.store.rows import ReviewRow
from ui.api_access import ApiAccess

Choice = tuple[str, str]  # what a user sees, what a handler gets

STYLE_CHOICES: list[Choice] = [(title, name) for name, (title, _) in BUILT_IN.items()] + [
    ("Model's own template", "model")
]


@dataclass(frozen=True)
class Services:
    """Process-wide objects; what belongs to one page lies in ``gr.State`` instead."""

    workspace: Workspace
    datasets: DatasetStore
    runs: RunStore
    queue: TrainingQueue
    exports: ExportJobs
    model_cache: ModelCache
    reviews: ReviewStore
    review_jobs: ReviewJobs
    judging_jobs: JudgingJobs
    arena: ArenaBattles
    fetches: ModelFetches
    evaluations: EvaluationStore
    evaluation_jobs: EvaluationJobs
    own_benchmarks: OwnBenchmarks
    api: ApiAccess

    def dataset_choices(self, *, prompt_lists: bool = False) -> list[Choice]:
        """Return the known datasets, the latest used first, with lists of mere ``questions`` on
        request.
        """
        known = self.datasets.recent(prompt_lists=prompt_lists)
        return [
            (f"{row['name']} · {row['row_count']:,} rows", row["content_hash"]) for row in known
        ]

    def model_choices(self) -> list[Choice]:
        """Return every model that can be asked now: bundled ones, runs' best models, and what runs
        kept besides.
        """
        runs = [row["name"] for row in self.runs.all()]
        tuned = [name for name in runs if self.workspace.model_folder(name).is_dir()]
        tuned += [f"{name}@{step}" for name in runs for step in self.workspace.kept_steps(name)]
        bases = [*bundled_models(), *([SMOLLM2] if smollm2_file() else [])]
        return [(f"{name} (base)", name) for name in bases] + [(name, name) for name in tuned]

    def style_choices(self) -> list[Choice]:
        """Return every prompt style: those that come with Fuata, and those written on the page."""
        own = sorted(self.workspace.styles.glob("*.jinja"))
        return [*STYLE_CHOICES, *((path.stem, str(path)) for path in own)]

    def review_choices(self) -> list[Choice]:
        """Return the reviews, the latest first."""
        return [
            (f"{row['name']} · {_review_state(row)}", row["name"]) for row in self.reviews.all()
        ]

    def newest_model(self) -> str | None:
        """Return the run whose best model was made last, or None."""
        names = (row["name"] for row in self.runs.all())
        return next((name for name in names if self.workspace.model_folder(name).is_dir()), None)

    def close(self) -> None:
        """Stop what is going on, keeping its state, and close the database."""
        self.queue.close()
        self.exports.close()
        self.review_jobs.close()
        self.judging_jobs.close()
        self.arena.close()
        self.evaluation_jobs.close()
        self.workspace.close()


def build_services(folder: Path, processes: int = 0) -> Services:
    """Open a workspace and everything that works in it; runs that died with an earlier process are
    marked.

    ``processes`` train each run together; 0 stands for one on each GPU.
    """
    workspace = Workspace(folder)
    workspace.fetches_at_once = False
    workspace.tidy()
    mark_interrupted(workspace)
    datasets = DatasetStore(workspace)
    datasets.fold_doubles()
    _offer_samples(datasets)
    model_cache = ModelCache(workspace)
    return Services(
        workspace=workspace,
        datasets=datasets,
        runs=RunStore(workspace),
        queue=TrainingQueue(workspace, processes),
        exports=ExportJobs(workspace),
        model_cache=model_cache,
        reviews=ReviewStore(workspace),
        review_jobs=ReviewJobs(workspace, model_cache),
        judging_jobs=JudgingJobs(workspace),
        arena=ArenaBattles(workspace, model_cache),
        fetches=ModelFetches(),
        evaluations=EvaluationStore(workspace),
        evaluation_jobs=EvaluationJobs(workspace),
        own_benchmarks=OwnBenchmarks(workspace),
        api=ApiAccess(folder),
    )


def _offer_samples(datasets: DatasetStore) -> None:
    """Keep the bundled samples that this workspace has not seen; the pocket model's last, so that
    it is offered first.
    """
    known = {row["content_hash"] for row in datasets.recent()}
    for content_hash, word in reversed(samples_by_hash().items()):
        if content_hash not in known:
            datasets.keep(load_dataset(find_file(word)))


def style_title(name: str) -> str:
    """Return what a style is called on the page."""
    own = Path(name).stem if name.endswith(".jinja") else name
    return next((title for title, known in STYLE_CHOICES if known == name), own)


def sentence(error: UserError) -> str:
    """Return what a user is told, on one line."""
    return shortened(str(error), LONGEST_SENTENCE)


def _review_state(row: ReviewRow) -> str:
    if row["state"] == ReviewState.READY:
        return f"{row['pairs']:,} {'pairs' if row['response_mode'] == 'pairs' else 'responses'}, {row['ratings']:,} ratings"
    return "being answered" if row["state"] == ReviewState.GENERATING else str(row["state"])
