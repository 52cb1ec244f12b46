"""The command line of the recipe: `python -m data.pocket pretrain --corpora FOLDER` makes the
model, `samples` the samples.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

from tokenizers import Tokenizer
from torch.multiprocessing.spawn import spawn

from core.datasets.samples import SAMPLES_FOLDER
from core.storage.atomic_write import write_file
from data.pocket.benchmark import write_benchmark
from data.pocket.corpus import make_tokenizer, write_corpus
from data.pocket.families import HOME, load_world
from data.pocket.pretraining import Recipe, pretrain
from data.pocket.sample import make_sample, write_conversations, write_sample
from data.pocket.vocabulary import end_id, save_tokenizer

_USUAL = Recipe(vocabulary=0)
_VALIDATION_TOKENS = 100_000  # after those that are trained on


def main() -> None:
    """Read the arguments and do what they say."""
    parser = argparse.ArgumentParser(prog="python -m data.pocket", description=__doc__)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser(
        "pretrain",
        help="tokenizer, corpus and base model; goes on where an earlier call was cut off",
    )
    making.add_argument(
        "--corpora", type=Path, required=True, help="folder with the background corpora"
    )
    making.add_argument(
        "--folder", type=Path, default=Path("out/pocket"), help="where everything is written"
    )
    making.add_argument("--tokens", type=int, default=_USUAL.tokens)
    making.add_argument("--processes", type=int, default=2)
    making.add_argument("--seed", type=int, default=_USUAL.seed)
    making.add_argument(
        "--start",
        type=Path,
        help="a model this recipe made: train on from its weights, with its tokenizer",
    )
    making.set_defaults(command=_pretrain)
    sampling = commands.add_parser("samples", help="the sample datasets in data/samples")
    sampling.add_argument("--folder", type=Path, default=SAMPLES_FOLDER)
    sampling.add_argument("--seed", type=int, default=_USUAL.seed)
    sampling.set_defaults(command=_samples)
    arguments = parser.parse_args()
    arguments.command(arguments)


def _pretrain(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    start: Path | None = arguments.start
    made_from: dict[str, object] = {
        "tokens": arguments.tokens,
        "seed": arguments.seed,
        "world": _digest_of_world(),
    }
    if start:
        made_from["start"] = hashlib.sha256((start / "model.safetensors").read_bytes()).hexdigest()
    _check_recipe(folder, made_from)
    if start:
        for tokenizer_file in start.glob("tokenizer*.json"):
            shutil.copy(tokenizer_file, folder)
    if not (folder / "tokenizer.json").is_file():
        save_tokenizer(make_tokenizer(arguments.corpora, arguments.seed), folder, _USUAL.context)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    recipe = Recipe(
        tokenizer.get_vocab_size(), end_id(tokenizer), tokens=arguments.tokens, seed=arguments.seed
    )
    corpus = folder / "corpus.npy"
    if not corpus.is_file():
        late = round(recipe.tokens * recipe.decay_share)
        lengths = (recipe.tokens - late, late + _VALIDATION_TOKENS)
        write_corpus(corpus, tokenizer, arguments.corpora, lengths, arguments.seed)
    (folder / "meeting").unlink(missing_ok=True)
    spawn(
        pretrain, (arguments.processes, recipe, corpus, folder, start), nprocs=arguments.processes
    )  # type: ignore[no-untyped-call]


def _check_recipe(folder: Path, recipe: dict[str, object]) -> None:
    """Write down what the folder is made from; end with a sentence when it was made from something
    else.
    """
    path = folder / "recipe.json"
    if path.is_file() and json.loads(path.read_text()) != recipe:
        sys.exit(
            f"{folder} was begun from something else (tokens, seed, start, facts): give another "
            "--folder, or remove it."
        )
    write_file(path, json.dumps(recipe, indent=2).encode())


def _digest_of_world() -> str:
    """Return a digest of everything the prose is written from."""
    files = sorted(path for kind in ("*.csv", "*.toml") for path in HOME.rglob(kind))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _samples(arguments: argparse.Namespace) -> None:
    rows = make_sample(load_world(), arguments.seed)
    write_sample(rows, arguments.folder / "pocket.json")
    write_conversations(arguments.folder / "conversations.json")
    write_benchmark(
        rows, arguments.seed, arguments.folder.parent / "benchmarks" / "pocket_families.jsonl"
    )


if __name__ == "__main__":
    main()
