"""Exported models in real llama.cpp and their templates in real Go, against transformers and the styles.

Every layout that is written is made with random weights, and pocket and SmolLM2 (where its package is
installed) are taken as they are: llama.cpp must cut texts into the same ids and go on with the same
tokens. Every style's Modelfile is filled by Go's text/template, as Ollama does, and must ask as the
style asks.

Needs node with the packages node-llama-cpp and @node-llama-cpp/linux-x64 in FOLDER, made by
  npm i --ignore-scripts --omit=optional node-llama-cpp@3.21.1 @node-llama-cpp/linux-x64@3.21.1
and for the templates the program go. Run: python benchmarks/exports_in_llama_cpp.py FOLDER [--json]
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.datasets.conversation import Turn
from core.export.export_model import ExportOptions, export_model
from core.export.gguf_tokenizer import probe_texts
from core.export.ollama import chat_pieces, go_template
from core.models.encoder import encoder_of
from core.models.gguf_file import SMOLLM2, smollm2_file
from core.models.load import load_model
from core.models.resolve import BUNDLED_FOLDER, find_model
from core.prompts.built_in import BUILT_IN
from core.prompts.encoder import load_encoder
from core.storage.workspace import Workspace

_STEPS = 24
_PROMPTS = 6
_ROUNDING = 0.02  # of the logits' spread: llama.cpp keeps keys and values in 16 bits
_ASK = """
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const { folder, model: path, texts, prompts, steps, out } = JSON.parse(readFileSync(0, "utf8"));
const place = createRequire(folder + "/package.json").resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(place));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: path });
const ids = texts.map((text) => model.tokenize(text, false));
const greedy = [];
for (const prompt of prompts) {
  const context = await model.createContext({ contextSize: 256, threads: 1 });
  const found = [];
  for await (const token of context.getSequence().evaluate(prompt, { temperature: 0 })) {
    found.push(token);
    if (found.length >= steps) break;
  }
  greedy.push(found);
  await context.dispose();
}
writeFileSync(out, JSON.stringify({ ids, greedy }));
process.exit(0);
"""
_FILL = """
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type Message struct{ Role, Content string }
type Case struct {
	Template, System string
	Messages         []Message
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	filled := []string{}
	for _, one := range cases {
		var text strings.Builder
		made := template.Must(template.New("").Option("missingkey=zero").Parse(one.Template))
		if err := made.Execute(&text, map[string]any{
			"System": one.System, "Messages": one.Messages, "Response": "",
		}); err != nil {
			panic(err)
		}
		filled = append(filled, text.String())
	}
	json.NewEncoder(os.Stdout).Encode(filled)
}
"""


def main() -> None:
    """Export, ask and compare; exit with 1 where anything differs that must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="with node_modules")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch) / "workspace")
        for name, word in _models(Path(scratch)):
            for numbers in ("f32", "f16", "q8_0", "q4_0"):
                found[f"{name} {numbers}"] = _in_llama_cpp(
                    workspace, word, numbers, Path(scratch), chosen.folder.resolve()
                )
                print(name, numbers, found[f"{name} {numbers}"], file=sys.stderr)
        if shutil.which("go"):
            found["templates"] = _in_go(Path(scratch))
            print("templates", found["templates"], file=sys.stderr)
    if chosen.json:
        print(json.dumps(found))
    wrong = [
        name for name, one in found.items()
        if one.get("other_ids") or one.get("other_texts")
        or (name.endswith((" f32", " f16")) and one["largest_gap"] > _ROUNDING)
    ]  # fmt: skip
    print("differs:", ", ".join(wrong) or "nothing", file=sys.stderr)
    sys.exit(bool(wrong))


def _models(scratch: Path) -> Iterator[tuple[str, str]]:
    """Yield a name and a word for every model; layouts that no file is at hand of are made here."""
    yield "pocket", "pocket"
    if smollm2_file():
        yield "SmolLM2", SMOLLM2
    from transformers import AutoConfig, AutoModelForCausalLM

    small = {
        "vocab_size": 8192, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    wide = {**small, "intermediate_size": 256, "num_key_value_heads": 2}
    long = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
    }  # fmt: skip
    for kind, more in {
        "gpt2": small,
        "llama": {**wide, "tie_word_embeddings": False},
        "mistral": {**wide, "sliding_window": None},
        "qwen2": wide,
        "qwen3": {**wide, "head_dim": 48},
        "phi3": wide,
        "llama stretched": {**wide, "rope_parameters": long},
    }.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind.partition(" ")[0], **more)
        config.initializer_range = 0.2
        folder = scratch / kind.replace(" ", "-")
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        for path in (BUNDLED_FOLDER / "pocket").glob("tokenizer*"):
            shutil.copy(path, folder)
        yield kind, str(folder)


def _in_llama_cpp(
    workspace: Workspace, word: str, numbers: Any, scratch: Path, packages: Path
) -> dict[str, Any]:
    path = scratch / "model.gguf"
    path.unlink(missing_ok=True)
    export_model(workspace, word, ExportOptions("gguf", quantisation=numbers), path)
    source = find_model(word, workspace)
    encoder = encoder_of(source)
    texts = list(probe_texts())
    draw = random.Random(1)
    prompts = [[draw.randrange(10, 4000) for _ in range(12)] for _ in range(_PROMPTS)]
    prompts[0] = encoder.encode_prompt([Turn("user", "What is the capital of Kenya?")])
    asked = {
        "folder": str(packages), "model": str(path), "texts": texts, "prompts": prompts,
        "steps": _STEPS, "out": str(scratch / "answer.json"),
    }  # fmt: skip
    script = scratch / "ask.mjs"
    script.write_text(_ASK)
    subprocess.run(
        [shutil.which("node") or "node", str(script)],
        input=json.dumps(asked),
        text=True,
        check=True,
    )
    answer = json.loads((scratch / "answer.json").read_text())
    loaded = load_model(source, on_cpu=True)
    compared = [
        _compare(loaded, prompt, found)
        for prompt, found in zip(prompts, answer["greedy"], strict=True)
    ]
    ours = [encoder.tokenizer.encode(text) for text in texts]
    return {
        "texts": len(texts),
        "other_ids": sum(a != b for a, b in zip(ours, answer["ids"], strict=True)),
        "greedy": sum(map(len, answer["greedy"])),
        "greedy_equal": sum(same for same, _ in compared),
        # how much less likely llama.cpp's first other token is, in the logits' spread
        "largest_gap": round(max(gap for _, gap in compared), 4),
        "mib": round(path.stat().st_size / 2**20, 1),
    }


@torch.no_grad()
def _compare(model: Any, prompt: Sequence[int], found: Sequence[int]) -> tuple[int, float]:
    """Return how many of llama.cpp's tokens are the likeliest here too before the first that is not,
    and by how much of the logits' standard deviation that one is behind; 0 where there is none.
    """
    logits = model(torch.tensor([[*prompt, *found]])).logits[0, len(prompt) - 1 : -1]
    for number, (row, token) in enumerate(zip(logits, found, strict=True)):
        if int(row.argmax()) != token:
            return number, float((row.max() - row[token]) / row.std())
    return len(found), 0.0


def _in_go(scratch: Path) -> dict[str, int]:
    """Fill every style's template in Go, for conversations of one to four rounds."""
    cases, expected = [], []
    odd = 'She said "{{ .System }}" \\n {% raw %} </s> 中文'
    for style in BUILT_IN:
        encoder = load_encoder(BUNDLED_FOLDER / "pocket", style)
        template = go_template(chat_pieces(encoder))
        for rounds in range(1, 5):
            turns = [Turn("user", odd)]
            for number in range(1, rounds):
                turns += [Turn("assistant", f"answer {number}"), Turn("user", f"{odd} {number}")]
            for system in ("", "Be brief."):
                whole = [*([Turn("system", system)] if system else []), *turns]
                messages = [{"Role": turn.role, "Content": turn.text} for turn in whole]
                cases.append({"Template": template, "System": system, "Messages": messages})
                expected.append(encoder.prompt_text(whole))
    program = scratch / "fill.go"
    program.write_text(_FILL)
    done = subprocess.run(
        [shutil.which("go") or "go", "run", str(program)], input=json.dumps(cases), capture_output=True, text=True,
        check=True, env={"HOME": str(scratch), "PATH": "/usr/bin:/bin:/usr/local/bin",
                         "GO111MODULE": "off"},
    )  # fmt: skip
    filled = json.loads(done.stdout)
    other = sum(a != b for a, b in zip(expected, filled, strict=True))
    return {"conversations": len(cases), "other_texts": other}


if __name__ == "__main__":
    main()
