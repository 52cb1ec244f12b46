"""Answers: the same in company and alone, with and without a cache, within the context."""

from pathlib import Path

import pytest
import torch

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.errors import ModelError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.models.load import load_model
from core.models.resolve import find_model
from core.storage.workspace import Workspace
from core.training.kernels.batch_loss import BatchLoss
from tests.conftest import save_with_tokenizer
from tests.tuning import LAYOUTS, load, run, settings

pytestmark = pytest.mark.slow


def test_generation_with_padding_and_cache_goes_on_as_before(tiny_models: dict[str, Path]) -> None:
    """Watched prompts are answered by the very model that is trained on flat rows."""
    model = load(tiny_models["qwen3"])
    ids, mask = (
        torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]]),
        torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
    )
    asked = {
        "input_ids": ids,
        "attention_mask": mask,
        "max_new_tokens": 8,
        "do_sample": False,
        "eos_token_id": None,
    }
    before = model.generate(**asked)
    assert BatchLoss(model).unsupported_reason == ""
    assert torch.equal(model.generate(**asked), before)


def test_a_model_tuned_in_chatml_tells_everyone_how_to_ask_and_stop(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name, _ = run(workspace, small_file, settings(tiny_models["qwen3"], style="chatml", epochs=1))
    chat_model = ModelCache(workspace).get(name)
    assert chat_model.encoder.style.name == "chatml"
    assert chat_model.encoder.prompt_text(load_dataset(small_file).examples[1].prompt).startswith(
        "<|im_start|>user\n"
    )


def test_a_model_tuned_with_a_persons_own_template_needs_the_file_no_more(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text(
        "{% for m in messages %}[{{ m.content }}]{% if m.role == 'assistant' %}{{ eos_token }}{% "
        "endif %}{% endfor %}"
    )
    name, _ = run(
        workspace, small_file, settings(tiny_models["llama"], style=str(template), epochs=1)
    )
    template.unlink()
    assert (
        ModelCache(workspace)
        .get(name)
        .encoder.prompt_text(load_dataset(small_file).examples[1].prompt)
        .startswith("[")
    )


def test_a_long_prompt_takes_nothing_from_the_answers_beside_it(
    tiny_models: dict[str, Path],
) -> None:
    from core.datasets.conversation import Turn

    chat_model = ModelCache(None).get(str(tiny_models["llama"]), "alpaca")
    prompts = [[Turn("user", "word " * 170)], [Turn("user", "short")]]
    sampling = Sampling(max_new_tokens=60)
    together = list(chat_model.respond_all(prompts, sampling, lambda: False))
    alone = [
        next(iter(chat_model.respond_all([prompt], sampling, lambda: False))) for prompt in prompts
    ]
    assert [(response.tokens, response.text) for response in together] == [
        (response.tokens, response.text) for response in alone
    ]
    assert together[0].tokens < together[1].tokens


def test_generation_in_company_and_alone_gives_the_same_answers(
    tiny_models: dict[str, Path], small_file: Path
) -> None:
    model_cache = ModelCache(None)
    prompts = [example.prompt for example in load_dataset(small_file).examples[:6]]
    for layout in LAYOUTS:
        chat_model = model_cache.get(str(tiny_models[layout]), "alpaca")
        sampling = Sampling(max_new_tokens=12)
        together = [
            response.text for response in chat_model.respond_all(prompts, sampling, lambda: False)
        ]
        alone = [
            next(iter(chat_model.respond_all([prompt], sampling, lambda: False))).text
            for prompt in prompts
        ]
        streamed = [list(chat_model.stream(prompt, sampling))[-1] for prompt in prompts]
        assert together == alone == streamed  # with half a character at its end, too


def test_the_cache_gives_the_tokens_of_asking_anew_each_time(tiny_models: dict[str, Path]) -> None:
    from core.generation.decode import generate_ids
    from core.generation.rows import Limits

    for layout in LAYOUTS:
        model = load_model(find_model(str(tiny_models[layout]), None))
        ids = [5, 6, 7, 8]
        [answer] = generate_ids(model, [ids], Sampling(max_new_tokens=10), Limits([], 256))
        assert len(answer.ids) == 10
        for token in answer.ids:
            with torch.no_grad():
                assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)


def test_an_answer_never_leaves_the_context(tiny_models: dict[str, Path]) -> None:
    from core.datasets.conversation import Turn

    chat_model = ModelCache(None).get(str(tiny_models["gpt2"]), "alpaca")
    long = [Turn("user", "word " * 300)]
    assert (
        next(iter(chat_model.respond_all([long], Sampling(), lambda: False))).finish_reason
        == "prompt_too_long"
    )
    with pytest.raises(ModelError, match="takes 256"):
        list(chat_model.stream(long, Sampling()))
    almost = [Turn("user", "word " * 150)]
    asked = len(chat_model.encoder.encode_prompt(almost))
    response = next(
        iter(chat_model.respond_all([almost], Sampling(max_new_tokens=500), lambda: False))
    )
    assert response.tokens <= 256 - asked and response.finish_reason in {"length", "end"}


@pytest.mark.parametrize("layout", ["bloom", "llama"])
def test_rows_that_are_answered_one_after_the_other_are_said_to_be(
    layout: str, small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        layout, vocab_size=8192, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    folder = save_with_tokenizer(AutoModelForCausalLM.from_config(config), tmp_path / "model")
    words = ["generate", "--model", str(folder), "--data", str(small_file), "--max-new-tokens", "2"]
    assert main([*words, "--json", "--workspace", str(tmp_path / "workspace")]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 40
    is_said = "The rows are answered one after the other: its " in told.err
    assert is_said == (layout == "bloom")
