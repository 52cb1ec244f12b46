"""Making a review on the page: prompts and responses that are brought, rubrics, contenders added
later.
"""

import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest

from tests.tabs.conftest import Opened, upload, wait_until
from ui.review.tab import build_review_tab
from ui.services import Services

Open = Callable[..., Opened]


def test_prompts_and_responses_are_brought_judged_by_a_rubric_and_added_to(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(build_review_tab)
    prompts = tmp_path / "ask.txt"
    prompts.write_text("One?\nTwo?\n")
    files = []
    for name in ("mine", "theirs", "late"):
        file = tmp_path / f"{name}.json"
        file.write_text(
            json.dumps(
                [{"prompt": prompt, "response": f"{name} {prompt}"} for prompt in ("One?", "Two?")]
            )
        )
        files.append(str(file))
    key = page.trigger("take_prompts", upload(services, prompts)).value
    assert ("ask.txt · 2 rows", key) in services.dataset_choices(
        prompt_lists=True
    ) and key not in dict(services.dataset_choices()).values()
    contenders = page.trigger(
        "take_responses",
        upload(services, files[1]),
        page.trigger("take_responses", upload(services, files[0]), []).value,
    ).value
    assert [Path(word.removeprefix("file:")).parent for word in contenders] == [
        services.workspace.responses
    ] * 2
    name, _, making, _ = page.trigger(
        "make_review",
        key,
        "test",
        0,
        "",
        contenders,
        0,
        "True first",
        "Prefer what is true.",
        10,
        "pairs",
        8,
        0,
        42,
    )
    assert "0 of 4 responses" in making
    wait_until(lambda: services.reviews.find(name), lambda row: row["state"] == "ready")
    fetch = page.server_function("pair", "fetch_pairs")
    question = {"review": name, "reviewer": "Amina", "count": 5}
    answer = fetch(question)
    assert (
        answer["rubric"] == {"name": "True first", "text": "Prefer what is true."}
        and answer["total"] == 2
    )
    wait_until(lambda: services.review_jobs.current, lambda current: current is None)
    page.trigger(
        "add_contenders",
        name,
        page.trigger("take_responses", upload(services, files[2]), contenders).value,
    )
    wait_until(lambda: services.reviews.find(name), lambda row: row["pair_count"] == 6)
    wait_until(lambda: services.review_jobs.current, lambda current: current is None)
    with pytest.raises(gr.Error, match="take part in this review already"):
        page.trigger("add_contenders", name, contenders)
    _, datasets, offered, rubrics, reviews, _ = page.trigger("refresh_review")
    assert ("late.json (responses)", f"file:{services.workspace.responses / 'late.json'}") in [
        tuple(one) for one in offered.choices
    ]
    assert [tuple(one) for one in rubrics.choices] == [("True first", "True first")]
    assert page.trigger("find_rubric", "True first") == "Prefer what is true."
    assert reviews.value == name and datasets.value


def test_a_file_of_responses_that_holds_none_is_not_kept(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text("[{}]")
    with pytest.raises(gr.Error, match="has no responses"):
        open_tab(build_review_tab).trigger("take_responses", upload(services, file), [])
    assert list(services.workspace.responses.iterdir()) == []
