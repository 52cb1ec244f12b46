"""Metrics of public benchmarks, against examples worked by hand from their official scripts."""

import json

import pytest

from core.evaluation.groups import add_group_results, plain_mean, weighted_mean
from core.evaluation.metrics import (
    Extracted,
    answers_f1,
    exact_match,
    expected_calibration_error,
    normalise_squad,
    normalise_trivia_qa,
    pass_at_k,
    rouge_l,
    squad_v2_scores,
    token_f1,
)
from core.evaluation.samples import as_sample_rows, normalised_score
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore
from core.evaluation.tasks import TaskGroup
from core.storage.workspace import Workspace


@pytest.mark.parametrize(
    ("text", "squad", "trivia"),
    [
        ("The  Norman's, Duchy.", "normans duchy", "norman s duchy"),
        ("Sunset_Blvd.", "sunsetblvd", "sunset blvd"),
        ("a man, a plan", "man plan", "man plan"),
        ("‘Twas", "‘twas", "twas"),
        ("", "", ""),
    ],
)
def test_answers_are_normalised_as_each_script_does(text: str, squad: str, trivia: str) -> None:
    assert normalise_squad(text) == squad
    assert normalise_trivia_qa(text) == trivia


def test_exact_match_and_f1_take_the_best_of_several_answers() -> None:
    assert exact_match("the Eiffel Tower!", ["Eiffel tower", "Paris"]) == 1
    assert exact_match("Eiffel", ["Eiffel tower"]) == 0
    # of "in france today" (3) and "france" (1) one word is common: 2 * (1/3) * 1 / (4/3)
    assert token_f1("in France today", ["France", "Italy"]) == pytest.approx(0.5)
    assert token_f1("", [""]) == 1
    assert token_f1("something", [""]) == 0
    assert token_f1("x", []) == 0


def test_squad_2_is_scored_by_its_script() -> None:
    found = [
        Extracted("France", 0.1, ("France", "in France")),  # right
        Extracted("the big Rollo", 0.2, ("Rollo",)),  # f1: 2 * (1/2) * 1 / (3/2) = 2/3
        Extracted("nobody", 0.9, ()),  # wrong: there is no answer
        Extracted("", 0.3, ()),  # right
    ]
    scores = squad_v2_scores(found)
    assert scores["exact"] == pytest.approx(50.0)
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3 + 0 + 1) / 4)
    assert scores["HasAns_exact"] == pytest.approx(50.0)
    assert scores["HasAns_f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert scores["NoAns_exact"] == scores["NoAns_f1"] == pytest.approx(50.0)
    # answering only below 0.9: the first is right, the two without an answer as well
    assert scores["best_exact"] == pytest.approx(75.0)
    assert scores["best_f1"] == pytest.approx(100 * (1 + 2 / 3 + 2) / 4)


def test_pass_at_k_is_the_unbiased_estimate() -> None:
    # of 5 programs 2 pass: of the 10 pairs only the 3 of wrong ones have none
    assert pass_at_k(5, 2, 2) == pytest.approx(1 - 3 / 10)
    assert pass_at_k(5, 2, 1) == pytest.approx(2 / 5)
    assert pass_at_k(5, 4, 2) == 1
    assert pass_at_k(5, 0, 5) == 0
    with pytest.raises(ValueError, match="takes 3 programs"):
        pass_at_k(2, 1, 3)


def test_multi_rc_counts_all_answers_together() -> None:
    # two of three positives found, one false alarm: 2 * 2 / (3 + 3)
    assert answers_f1([1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == pytest.approx(4 / 6)
    assert answers_f1([0, 0], [0, 0]) == 0


def test_calibration_compares_confidence_with_accuracy_in_bins() -> None:
    # two bins of two: |1.0 - 1| and |1.8 - 1|, over four
    found = expected_calibration_error([0.4, 0.6, 0.9, 0.9], [0, 1, 1, 0], bins=2)
    assert found == pytest.approx((abs(1.0 - 1) + abs(1.8 - 1)) / 4)
    assert expected_calibration_error([1.0] * 4, [1] * 4) == 0


def test_rouge_l_follows_the_longest_common_subsequence() -> None:
    # "police killed the gunman" and "police kill the gunman": police, the, gunman
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert rouge_l("", "") == 1
    assert rouge_l("a", "b") == 0


def test_groups_are_averaged_as_lm_eval_averages_them() -> None:
    from lm_eval.api.metrics import (
        aggregate_subtask_metrics,
        pooled_sample_stderr,
        unweighted_mean_stderr,
    )

    members = [(0.5, 0.05, 100), (0.25, 0.1, 20), (0.75, 0.07, 40)]
    values, errors, sizes = (list(column) for column in zip(*members, strict=True))
    found = weighted_mean(members)
    assert found.value == pytest.approx(aggregate_subtask_metrics(values, sizes))
    assert found.stderr == pytest.approx(pooled_sample_stderr(errors, sizes))
    plain = plain_mean([(value, error) for value, error, _ in members])
    assert plain.value == pytest.approx(0.5)
    assert plain.stderr == pytest.approx(unweighted_mean_stderr(errors))
    assert weighted_mean([(0.5, None, 3)]).stderr is None


def test_big_bench_counts_guessing_as_nothing() -> None:
    def one(choices: int, right: float) -> dict[str, object]:
        return {
            "arguments": [("q", "a")] * choices,
            "resps": [[(-1.0, False)]] * choices,
            "acc": right,
        }

    # chance (1/2 + 1/4) / 2 = 0.375, accuracy 0.5: 0.125 of 0.625
    assert normalised_score([one(2, 1.0), one(4, 0.0)]) == pytest.approx(20.0)
    assert normalised_score([{"arguments": [("q", {})], "resps": [["text"]], "acc": 1}]) is None


def test_what_is_no_right_or_wrong_has_no_part_of_a_question() -> None:
    def score(value: object, metric: str) -> float | None:
        sample = {
            "doc_id": 0, "filter": "none", metric: value, "doc": {}, "arguments": [("q", {})],
            "resps": [["x"]], "filtered_resps": ["x"], "target": "x", "metrics": [metric],
            "doc_hash": "", "prompt_hash": "", "target_hash": "",
        }  # fmt: skip
        result = {"evaluation_id": 1, "model": "m", "task": "t"}
        [row] = as_sample_rows([sample], result, metric, "none")  # type: ignore[arg-type]
        return row["score"]

    assert score((1, 1), "mcc") == 1 and score((0, 1), "f1") == 0
    assert score((-120.5, 37), "word_perplexity") is None
    assert score((5.0, 4.5), "pearson") == -0.5
    assert score(("passage", 1, 0), "f1a") == 0


def test_a_suite_s_mean_is_of_its_tasks_own_metric(workspace: Workspace) -> None:
    store = EvaluationStore(workspace)
    name = store.create("", ["m"], ["ai2_arc"], EvaluationSettings())
    number = store.find(name)["id"]
    for task, acc, norm in (("arc_easy", 0.8, 0.4), ("arc_challenge", 0.4, 0.2)):
        metrics = json.dumps({"acc,none": acc, "acc_norm,none": norm})
        store.add_result(
            {"evaluation_id": number, "model": "m", "task": task, "is_group": 0, "metric": "acc",
             "value": acc, "stderr": 0.1, "questions": 5, "metrics": metrics, "facts": "{}",
             "fingerprint": "", "message": ""},
            [],
        )  # fmt: skip
    for group, wanted in (("ai2_arc", 0.6), ("glue", (0.6 + 0.3) / 2)):
        members = TaskGroup(group, ("arc_easy", "arc_challenge"), is_weighted=False)
        add_group_results(store, store.find(name), "m", "", [members])
        [found] = [one for one in store.results(name) if one["task"] == group]
        assert found["value"] == pytest.approx(wanted)
