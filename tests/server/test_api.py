"""The address for programs: OpenAI's shapes, every field obeyed or refused, a key asked for."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app import build_app
from core.generation.continuous_batch import ContinuousBatch
from core.models.load import load_model
from core.models.resolve import find_model
from ui.api_access import ApiKey
from ui.services import Services, build_services

pytestmark = pytest.mark.slow

CHAT = {"model": "pocket", "messages": [{"role": "user", "content": "Name a colour."}],
        "max_tokens": 8, "temperature": 0}  # fmt: skip
TEXT = {"model": "pocket", "prompt": "The sea is", "max_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, str]]:
    folder = tmp_path_factory.mktemp("api") / "workspace"
    services: Services = build_services(folder)
    services.api.is_open = True
    secret = services.api.key.make()
    app = build_app(services)
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        yield client, secret
    services.close()


def ask(served: tuple[TestClient, str], route: str, body: Any, **headers: str) -> Any:
    client, secret = served
    usual = {"Authorization": f"Bearer {secret}"}
    return client.post(f"/v1/{route}", json=body, headers={**usual, **headers})


def test_the_key_is_asked_for_and_kept_only_as_a_hash(
    served: tuple[TestClient, str], tmp_path: Path
) -> None:
    client, secret = served
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": secret}):
        answer = client.get("/v1/models", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    key = ApiKey(tmp_path)
    assert not key.exists and not key.fits("")
    made = key.make()
    assert key.fits(made) and made not in (tmp_path / "api-key").read_text()
    assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600
    assert key.make() != made and not key.fits(made)
    assert client.get("/health").json() == {"status": "ok"}


def test_the_address_answers_nobody_till_it_is_switched_on(tmp_path: Path) -> None:
    services = build_services(tmp_path / "workspace")
    secret = services.api.key.make()
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        with TestClient(build_app(services), base_url="http://127.0.0.1:7860") as client:
            for route in ("/v1/models", "/health"):
                answer = client.get(route, headers=headers)
                assert answer.status_code == 403
                assert answer.json()["error"]["code"] == "address_off"
            assert client.post("/v1/completions", json=TEXT, headers=headers).status_code == 403
            services.api.is_open = True
            assert client.get("/v1/models", headers=headers).status_code == 200
            assert client.get("/v1/models").status_code == 401
    finally:
        services.close()


def test_models_are_listed_and_others_are_not_found(served: tuple[TestClient, str]) -> None:
    client, secret = served
    listed = client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"}).json()
    assert "pocket" in [one["id"] for one in listed["data"]]
    for name in ("gpt-4", "/etc", "../x"):
        answer = ask(served, "chat/completions", {**CHAT, "model": name})
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"


def test_a_chat_is_answered_streamed_and_counted(served: tuple[TestClient, str]) -> None:
    whole = ask(served, "chat/completions", {**CHAT, "n": 2, "logprobs": True, "top_logprobs": 3})
    told = whole.json()
    first, second = told["choices"]
    assert first["message"] == second["message"] and first["finish_reason"] in {"stop", "length"}
    assert told["usage"]["total_tokens"] == sum(
        told["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )
    tokens = first["logprobs"]["content"]
    assert "".join(one["token"] for one in tokens) == first["message"]["content"]
    assert all(len(one["top_logprobs"]) == 3 and one["logprob"] <= 0 for one in tokens)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    pieces = events(ask(served, "chat/completions", {**CHAT, **options}).text)
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    said = "".join(p["choices"][0]["delta"].get("content", "") for p in pieces[:-1])
    assert said == first["message"]["content"]
    assert pieces[-2]["choices"][0]["finish_reason"] == first["finish_reason"]
    assert pieces[-1]["choices"] == []
    assert pieces[-1]["usage"]["completion_tokens"] == told["usage"]["completion_tokens"] / 2


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_text_is_continued_from_words_or_tokens_and_stops(
    served: tuple[TestClient, str],
) -> None:
    one = ask(served, "completions", TEXT).json()["choices"][0]["text"]
    ids = tokens_of("The sea is")
    both = ask(served, "completions", {**TEXT, "prompt": [ids, ids]}).json()["choices"]
    assert [choice["text"] for choice in both] == [one, one]
    assert [choice["index"] for choice in both] == [0, 1]
    cut = ask(served, "completions", {**TEXT, "stop": [one[2:4]]}).json()["choices"][0]
    assert cut["text"] == one[: one.index(one[2:4])] and cut["finish_reason"] == "stop"
    pieces = events(ask(served, "completions", {**TEXT, "stream": True}).text)
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == one


def tokens_of(text: str) -> list[int]:
    from core.models.encoder import encoder_of

    return encoder_of(find_model("pocket", None)).tokenizer.encode(text)


def test_several_prompts_and_choices_are_answered_together_as_each_would_be_alone(
    served: tuple[TestClient, str],
) -> None:
    prompts = ["Name a colour.", "Count: one, two,", "The"]
    body = {"model": "pocket", "temperature": 1.0, "seed": 5, "max_tokens": 8}
    together = ask(served, "completions", {**body, "prompt": prompts, "n": 2}).json()
    texts = [choice["text"] for choice in together["choices"]]
    alone = [
        ask(served, "completions", {**body, "prompt": prompt, "seed": 5 + number}).json()
        for prompt in prompts
        for number in range(2)
    ]
    assert texts == [one["choices"][0]["text"] for one in alone] and len(set(texts)) > 3
    assert [choice["index"] for choice in together["choices"]] == list(range(6))
    counted = sum(one["usage"]["completion_tokens"] for one in alone)
    assert together["usage"]["completion_tokens"] == counted


def test_the_likeliest_of_several_tries_are_given(served: tuple[TestClient, str]) -> None:
    sampled = {**TEXT, "temperature": 1.2, "seed": 7, "logprobs": 1}
    all_of = ask(served, "completions", {**sampled, "n": 5}).json()["choices"]
    best = ask(served, "completions", {**sampled, "n": 2, "best_of": 5}).json()["choices"]

    def mean(choice: Any) -> float:
        found = choice["logprobs"]["token_logprobs"]
        return sum(found) / len(found) if found else 0.0

    assert [one["text"] for one in best] == [
        one["text"] for one in sorted(all_of, key=mean, reverse=True)[:2]
    ]
    greedy = ask(served, "completions", {**TEXT, "best_of": 5}).json()
    assert len(greedy["choices"]) == 1 and greedy["usage"]["completion_tokens"] <= 6
    for body in ({**TEXT, "n": 3, "best_of": 2}, {**TEXT, "best_of": 17},
                 {**TEXT, "best_of": 2, "stream": True}):  # fmt: skip
        assert ask(served, "completions", body).status_code == 400


def test_an_echoed_prompt_has_its_probabilities_as_a_plain_pass_has_them(
    served: tuple[TestClient, str],
) -> None:
    text = "The sea is blue and wide."
    body = {**TEXT, "prompt": text, "echo": True, "logprobs": 1, "max_tokens": 0}
    [choice] = ask(served, "completions", body).json()["choices"]
    ids = tokens_of(text)
    with torch.no_grad():
        rows = load_model(find_model("pocket", None))(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = [float(rows[place, token]) for place, token in enumerate(ids[1:])]
    found = choice["logprobs"]
    assert choice["text"] == text and found["token_logprobs"][0] is None
    assert found["token_logprobs"][1:] == pytest.approx(expected, abs=1e-4)
    assert "".join(found["tokens"]) == text
    assert found["text_offset"] == [text.index(t) if n == 0 else sum(map(len, found["tokens"][:n]))
                                    for n, t in enumerate(found["tokens"])]  # fmt: skip
    for top, token, value in zip(
        found["top_logprobs"][1:], found["tokens"][1:], expected, strict=True
    ):
        assert top[token] == pytest.approx(value, abs=1e-4) and max(top.values()) >= value - 1e-4


@pytest.mark.parametrize(
    ("route", "change", "param"),
    [
        ("chat/completions", {"tools": [{"type": "function"}]}, "tools"),
        ("chat/completions", {"response_format": {"type": "json_object"}}, "response_format"),
        ("chat/completions", {"presence_penalty": 1}, "presence_penalty"),
        ("chat/completions", {"nonsense": 1}, "nonsense"),
        ("chat/completions", {"n": 10**9}, "n"),
        ("chat/completions", {"n": True}, "n"),
        ("chat/completions", {"max_tokens": -5}, "max_tokens"),
        ("chat/completions", {"temperature": "hot"}, "temperature"),
        ("chat/completions", {"temperature": 1e9}, "temperature"),
        ("chat/completions", {"top_p": 0}, "top_p"),
        ("chat/completions", {"stop": [1]}, "stop"),
        ("chat/completions", {"stop": ["x"] * 99}, "stop"),
        ("chat/completions", {"seed": -1}, "seed"),
        ("chat/completions", {"messages": []}, "messages"),
        ("chat/completions", {"messages": "hi"}, "messages"),
        ("chat/completions", {"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ("chat/completions", {"stream": True, "n": 2}, "stream"),
        ("chat/completions", {"stream": True, "logprobs": True}, "logprobs"),
        ("chat/completions", {"top_logprobs": 21}, "top_logprobs"),
        ("chat/completions", {"top_logprobs": 2}, "top_logprobs"),
        ("chat/completions", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("chat/completions", {"model": 7}, "model"),
        ("completions", {"prompt": []}, "prompt"),
        ("completions", {"prompt": [[-1]]}, "prompt"),
        ("completions", {"prompt": [[10**9]]}, "prompt"),
        ("completions", {"prompt": ["x"] * 257}, "prompt"),
        ("completions", {"prompt": ""}, "prompt"),
        ("completions", {"max_tokens": 0}, "max_tokens"),
        ("completions", {"stream": True, "prompt": ["a", "b"]}, "stream"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_in_openais_shape(
    served: tuple[TestClient, str], route: str, change: dict[str, Any], param: str
) -> None:
    answer = ask(served, route, {**(CHAT if route.startswith("chat") else TEXT), **change})
    told = answer.json()["error"]
    assert (answer.status_code, told["param"], told["type"]) == (
        400, param, "invalid_request_error",
    ), told  # fmt: skip
    assert set(told) == {"message", "type", "param", "code"} and len(told["message"]) < 400


def test_fields_that_say_nothing_are_no_reason_to_refuse(served: tuple[TestClient, str]) -> None:
    quiet = {"presence_penalty": 0, "tools": None, "user": "amina", "response_format":
             {"type": "text"}, "logit_bias": None, "stream": False}  # fmt: skip
    assert ask(served, "chat/completions", {**CHAT, **quiet}).status_code == 200


def test_bodies_that_are_none_and_foreign_pages_are_refused(
    served: tuple[TestClient, str],
) -> None:
    client, secret = served
    headers = {"Authorization": f"Bearer {secret}"}
    for content in (b"", b"{", b"[" * 100_000, b"\xff", b"[1]", b'{"model": "\\ud800"}'):
        answer = client.post("/v1/chat/completions", content=content, headers=headers)
        assert answer.status_code == 400 and "message" in answer.json()["error"]
    long = {**CHAT, "messages": [{"role": "user", "content": "word " * 20_000}]}
    answer = ask(served, "chat/completions", long)
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert ask(served, "completions", {**TEXT, "prompt": "x" * 9 * 2**20}).status_code == 413
    assert ask(served, "chat/completions", CHAT, Origin="http://evil.example").status_code == 403
    assert client.get("/v1/models", headers={**headers, "Host": "evil.example"}).status_code == 403


def test_many_at_once_are_answered_or_told_to_wait(served: tuple[TestClient, str]) -> None:
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ask(served, "completions", {**TEXT, "max_tokens": 2}),
                                range(120)))  # fmt: skip
    kinds = {answer.status_code for answer in answers}
    assert kinds <= {200, 429} and 200 in kinds
    texts = {answer.json()["choices"][0]["text"] for answer in answers if answer.status_code == 200}
    assert len(texts) == 1
    assert ask(served, "chat/completions", CHAT).status_code == 200  # no place was lost


def test_who_asks_at_the_same_time_is_answered_together_each_as_alone(
    served: tuple[TestClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [
        {**TEXT, "prompt": f"The {word} is", "max_tokens": 40, "temperature": number % 2,
         "seed": number, "stream": number % 3 == 0}
        for number, word in enumerate(["sea", "sun", "house", "old man", "cat", "tree"])
    ]  # fmt: skip
    texts = [text_of(ask(served, "completions", body)) for body in bodies]
    together: list[int] = []
    advance = ContinuousBatch.advance

    def watched(self: ContinuousBatch) -> Any:
        together.append(len(self.active))
        return advance(self)

    monkeypatch.setattr(ContinuousBatch, "advance", watched)
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: ask(served, "completions", body), bodies))
    assert [text_of(answer) for answer in answers] == texts
    assert max(together) > 2  # they were steps of several


def text_of(answer: Any) -> str:
    if answer.headers["content-type"].startswith("text/event-stream"):
        return "".join(piece["choices"][0]["text"] for piece in events(answer.text))
    text: str = answer.json()["choices"][0]["text"]
    return text


def test_a_stream_that_nobody_reads_any_more_frees_its_place(
    served: tuple[TestClient, str],
) -> None:
    client, secret = served
    begun = threading.active_count()
    for _ in range(70):  # more than there are places
        with client.stream(
            "POST", "/v1/completions", json={**TEXT, "max_tokens": 200, "stream": True},
            headers={"Authorization": f"Bearer {secret}"},
        ) as answer:  # fmt: skip
            assert answer.status_code == 200
    assert ask(served, "completions", TEXT).status_code == 200
    assert threading.active_count() < begun + 60
