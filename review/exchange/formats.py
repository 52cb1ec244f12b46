"""What ratings can be written as: the one list that command line, page and writer read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One way of writing a review's ratings."""

    title: str  # on the page
    ending: str  # of the file
    nothing: str = ""  # of rows for training: what they are made of, for when there are none
    is_of_people: bool = True  # whether it holds people's ratings, and nothing of models as judges

    @property
    def is_for_training(self) -> bool:
        """Whether its rows are learnt from: then what is not blind or not settled is left out."""
        return bool(self.nothing)


EXPORT_FORMATS = {
    "csv": ExportFormat(title="CSV table", ending="csv"),
    "jsonl": ExportFormat(title="JSON lines", ending="jsonl"),
    "sft": ExportFormat(
        title="SFT rows (corrections)",
        ending="jsonl",
        nothing="they are corrections, and there is none",
    ),
    "dpo": ExportFormat(
        title="DPO pairs",
        ending="jsonl",
        nothing="they are corrections, and verdicts for one response that no other contradicts",
    ),
    "kto": ExportFormat(
        title="KTO rows",
        ending="jsonl",
        nothing="they are verdicts for or against a response that no other contradicts",
    ),
    "judgements": ExportFormat(
        title="What models as judges said (JSON lines)", ending="jsonl", is_of_people=False
    ),
    "annotations": ExportFormat(
        title="AlpacaEval: annotations.json of a judge", ending="json", is_of_people=False
    ),
    "outputs": ExportFormat(
        title="AlpacaEval: model_outputs.json", ending="json", is_of_people=False
    ),
}
FORMATS = tuple(EXPORT_FORMATS)
