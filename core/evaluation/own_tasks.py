"""Tasks that lm-eval lacks, computes otherwise than the official script, or cannot load without a
network: STS-B, MultiRC's and ReCoRD's official metrics, SQuAD, TriviaQA's F1, HumanEval.

Prompts are lm-eval's wherever it has the task. Knows no model and no files.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from core.evaluation.metrics import (
    answers_f1,
    exact_match,
    normalise_trivia_qa,
    pass_at_k,
    token_f1,
)

Doc = dict[str, Any]
Config = dict[str, Any]
CodeCheck = Callable[[Sequence[str]], list[bool]]  # programs → whether each runs to its end

_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")
_VERSION = {"version": 1.0}


def own_task(name: str, check_code: CodeCheck) -> Config | None:
    """Return the configuration of a task of ours, in lm-eval's words; None for one of lm-eval's."""
    makers: dict[str, Callable[[], Config]] = {
        "stsb": _sts_b,
        "multirc_official": _multi_rc,
        "record": _record,
        "squad": _squad,
        "triviaqa_f1": _trivia_qa,
        "humaneval": lambda: _human_eval(check_code, 1),
        "humaneval_10": lambda: _human_eval(check_code, 10),
    }
    make = makers.get(name)
    return {"task": name, "metadata": dict(_VERSION), **make()} if make else None


def _metric(name: str, aggregation: object = "mean") -> Doc:
    return {"metric": name, "aggregation": aggregation, "higher_is_better": True}


def _sts_b() -> Config:
    """GLUE's ninth task (Cer et al., arXiv 1708.00055): a number from 0 to 5 is written."""
    return {
        "dataset_path": "nyu-mll/glue",
        "dataset_name": "stsb",
        "output_type": "generate_until",
        "training_split": "train",
        "validation_split": "validation",
        "doc_to_text": (
            "Sentence 1: {{sentence1}}\nSentence 2: {{sentence2}}\n"
            "Question: How similar are both sentences, from 0.0 (not at all) to 5.0 (they mean the "
            "same)?\nAnswer:"
        ),
        "doc_to_target": "{{label}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": False},
        "process_results": _similarity,
        "metric_list": [_metric("pearson", _pearson), _metric("spearman", _spearman)],
    }


def _similarity(doc: Doc, results: Sequence[str]) -> Doc:
    found = _NUMBER.search(results[0])
    # what names no number says nothing: the middle
    said = float(found.group().replace(",", ".")) if found else 2.5
    pair = (float(doc["label"]), min(max(said, 0.0), 5.0))
    return {"pearson": pair, "spearman": pair}


def _pearson(pairs: Sequence[tuple[float, float]]) -> float:
    return _correlation("pearsonr", pairs)


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    return _correlation("spearmanr", pairs)


def _correlation(name: str, pairs: Sequence[tuple[float, float]]) -> float:
    from scipy import stats

    golds, said = zip(*pairs, strict=True)
    if len(set(said)) < 2 or len(set(golds)) < 2:
        return 0.0  # not defined where all is the same: nothing was told apart
    return float(getattr(stats, name)(golds, said).statistic)


def _multi_rc() -> Config:
    """MultiRC as SuperGLUE has it: F1 over all answers, exact match over questions."""
    return {
        "dataset_path": "aps/super_glue",
        "dataset_name": "multirc",
        "output_type": "multiple_choice",
        "training_split": "train",
        "validation_split": "validation",
        "doc_to_text": "{{paragraph}}\nQuestion: {{question}}\nAnswer:",
        "doc_to_target": "label",
        "doc_to_choice": (
            "['''{{answer}}\\nIs the answer correct? yes''', "
            "'''{{answer}}\\nIs the answer correct? no''']"
        ),
        "process_results": _answer_of_question,
        "metric_list": [_metric("f1a", _f1_of_answers), _metric("em", _whole_questions)],
    }


def _answer_of_question(doc: Doc, results: Sequence[tuple[float, bool]]) -> Doc:
    yes, no = (log_probability for log_probability, _ in results)
    index = doc["idx"]
    found = ((index["paragraph"], index["question"]), int(doc["label"]), int(yes > no))
    return {"f1a": found, "em": found}


def _f1_of_answers(found: Sequence[tuple[object, int, int]]) -> float:
    return answers_f1([gold for _, gold, _ in found], [said for _, _, said in found])


def _whole_questions(found: Sequence[tuple[object, int, int]]) -> float:
    is_right: dict[object, bool] = defaultdict(lambda: True)
    for question, gold, said in found:
        is_right[question] = is_right[question] and gold == said
    return sum(is_right.values()) / len(is_right)


def _record() -> Config:
    """ReCoRD (Zhang et al., arXiv 1810.12885): the entity that reads best.

    lm-eval's own imports a part of transformers that is gone; its metric is SuperGLUE's.
    """
    return {
        "dataset_path": "aps/super_glue",
        "dataset_name": "record",
        "output_type": "multiple_choice",
        "training_split": "train",
        "validation_split": "validation",
        "process_docs": lambda rows: rows.map(_sorted_entities),
        "doc_to_text": _record_text,
        "doc_to_target": lambda doc: _filled(doc, doc["answers"][0]),
        "doc_to_choice": lambda doc: [_filled(doc, entity) for entity in doc["entities"]],
        "process_results": _best_entity,
        "metric_list": [_metric("f1"), _metric("em")],
    }


def _sorted_entities(doc: Doc) -> Doc:
    return {name: sorted(set(doc[name])) for name in ("entities", "answers")}


def _record_text(doc: Doc) -> str:
    text, *highlights = doc["passage"].strip().split("\n@highlight\n")
    return f"{text}\n\n" + "".join(f"  - {highlight}.\n" for highlight in highlights)


def _filled(doc: Doc, entity: str) -> str:
    return f"  - {doc['query']}".replace("@placeholder", entity)


def _best_entity(doc: Doc, results: Sequence[tuple[float, bool]]) -> Doc:
    scores = [log_probability for log_probability, _ in results]
    entity = doc["entities"][scores.index(max(scores))]
    return {"f1": token_f1(entity, doc["answers"]), "em": exact_match(entity, doc["answers"])}


def _squad_text(doc: Doc) -> str:
    return (
        f"Title: {doc['title']}\n\nBackground: {doc['context']}\n\n"
        f"Question: {doc['question']}\n\nAnswer:"
    )


def _squad() -> Config:
    """SQuAD 1.1 (Rajpurkar et al., arXiv 1606.05250)."""
    return {
        "dataset_path": "rajpurkar/squad",
        "output_type": "generate_until",
        "training_split": "train",
        "validation_split": "validation",
        "doc_to_text": _squad_text,
        "doc_to_target": lambda doc: doc["answers"]["text"][0],
        "generation_kwargs": {"until": ["\n"], "do_sample": False},
        "process_results": _extracted,
        "metric_list": [_metric("exact"), _metric("f1")],
    }


def _extracted(doc: Doc, results: Sequence[str]) -> Doc:
    answers = doc["answers"]["text"]
    return {"exact": exact_match(results[0], answers), "f1": token_f1(results[0], answers)}


def _trivia_qa() -> Config:
    """TriviaQA (Joshi et al., arXiv 1705.03551) by its own script: exact match and F1 over aliases."""
    return {
        "dataset_path": "mandarjoshi/trivia_qa",
        "dataset_name": "rc.nocontext",
        "output_type": "generate_until",
        "training_split": "train",
        "validation_split": "validation",
        "doc_to_text": "Question: {{question}}?\nAnswer:",
        "doc_to_target": "{{answer.value}}",
        "generation_kwargs": {"until": ["\n", ".", ","], "do_sample": False},
        "process_results": _alias,
        "metric_list": [_metric("em"), _metric("f1")],
    }


def _alias(doc: Doc, results: Sequence[str]) -> Doc:
    aliases = doc["answer"]["aliases"]
    return {
        "em": exact_match(results[0], aliases, normalise_trivia_qa),
        "f1": token_f1(results[0], aliases, normalise_trivia_qa),
    }


def _human_eval(check_code: CodeCheck, samples: int) -> Config:
    """HumanEval (Chen et al., arXiv 2107.03374): programs run in the sandbox."""
    is_drawn = samples > 1
    sampling = {"do_sample": True, "temperature": 0.8} if is_drawn else {"do_sample": False}
    ks = [k for k in (1, 10) if k <= samples]

    def passed(doc: Doc, results: Sequence[Any]) -> Doc:
        answers = results[0] if is_drawn else results
        end = f"\n{doc['test']}\ncheck({doc['entry_point']})"
        found = check_code([doc["prompt"] + answer + end for answer in answers])
        return {f"pass@{k}": pass_at_k(len(found), sum(found), k) for k in ks}

    task: Config = {
        "dataset_path": "openai/openai_humaneval",
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{test}}\ncheck({{entry_point}})",
        "generation_kwargs": {
            "until": ["\nclass", "\ndef", "\n#", "\nif", "\nprint"], "max_gen_toks": 1024, **sampling,
        },
        "repeats": samples,
        "num_fewshot": 0,
        "process_results": passed,
        "metric_list": [_metric(f"pass@{k}") for k in ks],
    }  # fmt: skip
    if is_drawn:
        # all of them, not the first alone
        task["filter_list"] = [
            {"name": "none", "filter": [{"function": "take_first_k", "k": samples}]}
        ]
    return task
