"""Train TRL's own trainers for two steps on each of a review's exports: so that it is seen to read
them.

Needs an environment with TRL beside Fuata's requirements; nothing else of the project does.

    python -m pip install trl==1.16.0
    python benchmarks/exports_in_trl.py
"""

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.judging.judge import Judge
from review.setup.generate_responses import RowChoice, answer_review, create_review, plan_review
from review.store.reviews import ReviewStore

_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
_ASKED = "{% if add_generation_prompt %}assistant: {% endif %}"
_PAIRS = 40


def main() -> None:
    """Write a review of the sample's own answers, judge it by chance, and train on every export."""
    with tempfile.TemporaryDirectory() as folder:
        store = _judged_review(Path(folder))
        for form, trainer, settings in _trainers():
            file = Path(folder) / f"{form}.jsonl"
            file.write_text(export_review(store, "r", form), encoding="utf-8")
            rows, loss = _train(file, trainer, settings, folder)
            print(f"{form}: TRL read {rows} rows, loss after two steps {loss:.3f}", flush=True)


def _judged_review(folder: Path) -> ReviewStore:
    from core.datasets.dataset import load_dataset
    from core.datasets.samples import SAMPLE
    from core.generation.model_cache import ModelCache
    from core.generation.sampling import Sampling

    workspace, dataset = Workspace(folder), load_dataset(SAMPLE)
    plan = plan_review(
        workspace,
        dataset,
        "r",
        ["pocket", "expected"],
        RowChoice("test", _PAIRS),
        Sampling(max_new_tokens=20),
    )
    create_review(workspace, dataset, plan)
    answer_review(
        workspace,
        "r",
        ModelCache(workspace),
        lambda: False,
        lambda _done, _total: None,
    )
    store, rng = ReviewStore(workspace), random.Random(1)
    judge = Judge(store, "r", "chance")
    for pair in judge.next_pairs(_PAIRS):
        correction = "A corrected answer." if rng.random() < 1 / 3 else ""
        judge.rate(
            pair.id, make_rating(rng.choice(["a", "b", "tie", "both_bad"]), correction=correction)
        )
    return store


def _trainers() -> list[tuple[str, Any, Any]]:
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    return [
        ("sft", SFTTrainer, SFTConfig),
        ("dpo", DPOTrainer, DPOConfig),
        ("kto", KTOTrainer, KTOConfig),
    ]


def _train(file: Path, trainer: Any, settings: Any, folder: str) -> tuple[int, float]:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pocket = Path(__file__).parents[1] / "data" / "models" / "pocket"
    tokenizer = AutoTokenizer.from_pretrained(pocket)
    tokenizer.chat_template = _TEMPLATE + _ASKED
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = load_dataset("json", data_files=str(file), split="train")
    off = {
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
    }
    options = settings(output_dir=folder, max_steps=2, per_device_train_batch_size=4, **off)
    model = AutoModelForCausalLM.from_pretrained(pocket)
    done = trainer(
        model=model, args=options, train_dataset=rows, processing_class=tokenizer
    ).train()
    return len(rows), done.training_loss


if __name__ == "__main__":
    main()
