"""What an evaluation is asked with. Knows no model and no task."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from core.errors import SettingsError
from core.evaluation.choices import PROMPTED

LONGEST_SYSTEM = 20_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How every task of an evaluation is asked."""

    data: str = ""  # folder of the benchmarks' data; "" for those that ship with Fuata
    from_hub: bool = False  # what no folder holds is fetched from the hub
    few_shot: int | None = None  # examples shown before each question; None: the task's own number
    limit: int | None = None  # only the first questions of each task
    chat_template: bool = False  # asked in the model's chat template, else as plain text
    few_shot_as_turns: bool = False  # examples as turns of the conversation, not in one
    system: str = ""  # a system prompt, before what a task itself says
    prompt_apart: bool = False  # the system prompt makes another contender of the first model
    helm: bool = False  # also perturbed, and seen from all of HELM's sides
    judge: str = ""  # the model that grades what takes a judge
    run_code: bool = False  # programs that a model writes may be run, in the sandbox

    def __post_init__(self) -> None:
        """Check every field. Raises SettingsError naming all wrong ones."""
        wrong = {
            "few_shot": (self.few_shot is not None and not 0 <= self.few_shot <= 100,
                         "must lie between 0 and 100"),
            "limit": (self.limit is not None and self.limit < 1, "must be 1 or more"),
            "few_shot_as_turns": (self.few_shot_as_turns and not self.chat_template,
                                  "goes with a chat template alone"),
            "prompt_apart": (self.prompt_apart and not self.system, "takes a system prompt"),
            "system": (len(self.system) > LONGEST_SYSTEM,
                       f"must have at most {LONGEST_SYSTEM:,} characters"),
        }  # fmt: skip
        if problems := {name: sentence for name, (is_wrong, sentence) in wrong.items() if is_wrong}:
            raise SettingsError(problems)

    def for_model(self, model: str) -> "EvaluationSettings":
        """Return how one contender is asked: where the prompt makes another one, only that has it."""
        if self.prompt_apart and not model.endswith(PROMPTED):
            return replace(self, system="", prompt_apart=False)
        return self

    def contenders(self, models: Sequence[str]) -> list[str]:
        """Return models, the first of them once more with the prompt where that is wished."""
        found = list(dict.fromkeys(models))
        return [*found, f"{found[0]}{PROMPTED}"] if self.prompt_apart and found else found

    def to_json(self) -> str:
        """Return it as text for the database."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read_evaluation_settings(text: str) -> EvaluationSettings:
    """Return settings from the database; what a later version knows more of is left out."""
    values = json.loads(text)
    known = {one.name for one in fields(EvaluationSettings)}
    return EvaluationSettings(**{name: value for name, value in values.items() if name in known})
