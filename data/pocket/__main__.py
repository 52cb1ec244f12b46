"""The command line of the recipe: `python -m data.pocket pretrain --corpora FOLDER` makes the model, `samples` the samples."""

import argparse
from pathlib import Path

from tokenizers import Tokenizer
from torch.multiprocessing.spawn import spawn

from data.pocket.corpus import make_tokenizer, write_corpus
from data.pocket.pretraining import Recipe, pretrain
from data.pocket.vocabulary import END

_USUAL = Recipe(vocabulary=0)


def main() -> None:
    """Read the arguments and do what they say."""
    parser = argparse.ArgumentParser(prog="python -m data.pocket", description=__doc__)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("pretrain", help="tokenizer, corpus and base model; goes on where an earlier call was cut off")
    making.add_argument("--corpora", type=Path, required=True, help="folder with the background corpora")
    making.add_argument("--folder", type=Path, default=Path("out/pocket"), help="where everything is written")
    making.add_argument("--tokens", type=int, default=_USUAL.tokens)
    making.add_argument("--processes", type=int, default=2)
    making.add_argument("--seed", type=int, default=_USUAL.seed)
    making.set_defaults(command=_pretrain)
    arguments = parser.parse_args()
    arguments.command(arguments)


def _pretrain(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_path, corpus_path = folder / "tokenizer.json", folder / "corpus.npy"
    if not tokenizer_path.is_file():
        make_tokenizer(arguments.corpora, arguments.seed).save(str(tokenizer_path))
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    if not corpus_path.is_file():
        write_corpus(corpus_path, tokenizer, arguments.corpora, arguments.tokens + 100_000, arguments.seed)
    (folder / "meeting").unlink(missing_ok=True)
    recipe = Recipe(tokenizer.get_vocab_size(), tokenizer.token_to_id(END) or 0, tokens=arguments.tokens, seed=arguments.seed)
    spawn(pretrain, (arguments.processes, recipe, corpus_path, folder), nprocs=arguments.processes)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
