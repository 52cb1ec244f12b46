"""What a user should know of a run before it begins, in words, for the Ready card and the command
line alike.
"""

from core.datasets.samples import samples_by_hash
from core.models.resolve import stored_type
from core.training.planning.cost_model import parameter_count
from core.training.planning.plan import RunPlan
from core.training.planning.throughput import onednn_speedup
from core.training.settings import default_settings

_FAR_ABOVE = 20  # times a model's default learning rate
_FEW_ROWS = 50  # from fewer a model learns the rows themselves, not what they have in common
_CLEARLY_FASTER = 1.3  # more than what neighbours on the machine make of a trial
_TINY = 30_000_000  # parameters
_FEW_VALIDATED = 5  # rows; the loss on fewer says next to nothing


def cautions(plan: RunPlan) -> list[str]:
    """Return what a user may not expect of a run."""
    return [*_of_data(plan), *_of_rows(plan), *_of_model(plan), *_of_machine(plan)]


def _of_data(plan: RunPlan) -> list[str]:
    """Return what is to be said where there is little data, or data that does not fit the model."""
    lines = []
    if plan.refused:
        lines.append(
            f"{_rows(plan.refused)} of the file refused: the check under Data, or core check, "
            "says why"
        )
    if len(plan.train) < _FEW_ROWS:
        lines.append(
            f"{len(plan.train)} rows are few: expect the model to learn them by heart and little "
            "else"
        )
    if 0 < len(plan.validation) < _FEW_VALIDATED:
        rows = f"{len(plan.validation)} validation {'row says' if len(plan.validation) == 1 else 'rows say'}"
        lines.append(f"{rows} little of overfitting: raise the validation share, or add rows")
    count = parameter_count(plan.source.weights_folder)
    if 0 < count < _TINY and plan.content_hash not in samples_by_hash():
        lines.append(
            f"a model of {count / 1e6:.0f} million parameters knows little but what it was made "
            "for: from other rows it learns "
            "their form and writes fluent nonsense; take a base of 100 million or more for your own"
        )
    if not plan.validation:
        lines.append(
            "no validation rows: overfitting will not be seen, and the last model is kept "
            "instead of the best"
        )
    return lines


def _cut(plan: RunPlan) -> str:
    if plan.settings.long_rows == "start":
        return "cut at their start: of their prompt, as far as that is enough"
    return "cut there, without an end to learn"


def _of_rows(plan: RunPlan) -> list[str]:
    """Return what becomes of rows that do not fit as they are."""
    lines = []
    if count := len(plan.unwritable):
        first = plan.unwritable[0]
        lines.append(
            f"{_rows(count)} left out, which the style cannot write: row {first.row}: "
            f"{first.reason}"
        )
    if count := len(plan.cut_rows):
        lines.append(f"{_rows(count)} longer than {plan.max_tokens:,} tokens and {_cut(plan)}")
    if count := len(plan.dropped_rows):
        why = (
            f"longer than {plan.max_tokens:,} tokens"
            if plan.settings.long_rows == "drop"
            else f"nothing of the answer lies within {plan.max_tokens:,} tokens"
        )
        lines.append(f"{_rows(count)} left out: {why}")
    if plan.joins_system:
        lines.append(
            "this style has no place for a system prompt: it is put in front of the first question"
        )
    if plan.lacks_end_token:
        lines.append(
            "this style ends answers with no end token, so the model will not learn to stop"
        )
    return lines


def _of_model(plan: RunPlan) -> list[str]:
    settings, lines = plan.settings, []
    usual = default_settings(settings.model, settings.method).learning_rate
    if settings.learning_rate > _FAR_ABOVE * usual:
        times = f"{settings.learning_rate / usual:,.0f} times the default of {usual:g}"
        lines.append(f"the learning rate is {times}: expect the model to unlearn much")
    if plan.source.is_adapter:
        lines.append(
            "the adapter is trained further as it is: its own rank, alpha, dropout, kind and "
            "layers stay"
        )
    kind = stored_type(plan.source.weights_folder)
    if (
        settings.method == "full"
        and settings.saved_type == "float32"
        and kind in {"bfloat16", "float16"}
    ):
        lines.append(
            f"saved in float32, as it is trained, twice the size of its base in {kind}: 'saved "
            "type' base saves it so"
        )
    return lines


def _of_machine(plan: RunPlan) -> list[str]:
    settings = plan.settings
    if (
        settings.matmul_backend != "default"
        or settings.compiled
        or settings.precision == "bfloat16"
    ):
        return []
    speedup = onednn_speedup()
    if speedup is None or speedup < _CLEARLY_FASTER:
        return []
    return [
        f"this CPU multiplies {speedup:.1f} times as fast by oneDNN: 'matmul backend' onednn uses it"
    ]


def _rows(count: int) -> str:
    return f"{count:,} rows are" if count > 1 else "1 row is"
