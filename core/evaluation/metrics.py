"""Metrics of public benchmarks as their official scripts compute them.

Knows no model. Every function takes plain texts and numbers.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
# TriviaQA's script replaces these by blanks, SQuAD's takes punctuation away
_TRIVIA_PUNCTUATION = frozenset([*string.punctuation, "‘", "’", "´", "`"])


def normalise_squad(text: str) -> str:
    """Return an answer as SQuAD's script compares it: lower case, no punctuation, no articles."""
    lower = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", lower).split())


def normalise_trivia_qa(text: str) -> str:
    """Return an answer as TriviaQA's script compares it: underscores and punctuation become blanks."""
    lower = "".join(" " if c in _TRIVIA_PUNCTUATION else c for c in text.replace("_", " ").lower())
    return " ".join(_ARTICLES.sub(" ", lower).split()).strip()


def exact_match(
    prediction: str, answers: Iterable[str], normalise: Callable[[str], str] = normalise_squad
) -> float:
    """Return 1 where a prediction equals one of the answers, once both are normalised, else 0."""
    return float(normalise(prediction) in {normalise(answer) for answer in answers})


def token_f1(
    prediction: str, answers: Iterable[str], normalise: Callable[[str], str] = normalise_squad
) -> float:
    """Return the greatest harmonic mean of precision and recall of words over the answers (Rajpurkar
    et al., arXiv 1606.05250).

    Where one of the two is empty, as an unanswerable question's is, it is whether both are.
    """
    return max(
        (_one_f1(normalise(prediction), normalise(answer)) for answer in answers), default=0.0
    )


def _one_f1(prediction: str, answer: str) -> float:
    found, wanted = prediction.split(), answer.split()
    if not found or not wanted:
        return float(found == wanted)
    same = sum((Counter(found) & Counter(wanted)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(found), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a model said to one question of SQuAD 2.0."""

    prediction: str
    no_answer_probability: float
    answers: tuple[str, ...]  # none for a question without an answer

    @property
    def exact(self) -> float:
        """Whether it is one of the answers; nothing is right where there is none."""
        return exact_match(self.prediction, self.answers or ("",))

    @property
    def f1(self) -> float:
        """The words that it shares with the nearest answer."""
        return token_f1(self.prediction, self.answers or ("",))


def squad_v2_scores(found: Sequence[Extracted]) -> dict[str, float]:
    """Return the scores of SQuAD 2.0's script in percent: of all questions, of those with and
    without an answer, and the best that a threshold of the probability of no answer would give
    (Rajpurkar et al., arXiv 1806.03822).
    """
    scores = {}
    for name, values in (
        ("exact", [one.exact for one in found]),
        ("f1", [one.f1 for one in found]),
    ):
        scores[name] = 100 * sum(values) / len(values)
        for part, wanted in (("HasAns", True), ("NoAns", False)):
            of_part = [
                value
                for one, value in zip(found, values, strict=True)
                if bool(one.answers) == wanted
            ]
            if of_part:
                scores[f"{part}_{name}"] = 100 * sum(of_part) / len(of_part)
        scores[f"best_{name}"] = 100 * _best_by_threshold(found, values) / len(values)
    return scores


def _best_by_threshold(found: Sequence[Extracted], values: Sequence[float]) -> float:
    """Return the greatest sum of scores where all questions above some probability of no answer
    count as answered by nothing.
    """
    best = current = float(sum(not one.answers for one in found))  # nothing is answered
    for number in sorted(range(len(found)), key=lambda n: found[n].no_answer_probability):
        one = found[number]
        if one.answers:
            current += values[number]
        elif one.prediction:
            current -= 1
        best = max(best, current)
    return best


def pass_at_k(total: int, passed: int, k: int) -> float:
    """Return the unbiased estimate that one of k programs passes, of ``total`` drawn (Chen et al.,
    arXiv 2107.03374): 1 - C(n-c, k) / C(n, k).
    """
    if total < k:
        raise ValueError(f"pass@{k} takes {k} programs, not {total}")
    return 1.0 - comb(total - passed, k) / comb(total, k)


def answers_f1(golds: Sequence[int], predictions: Sequence[int]) -> float:
    """Return F1 of the positive class, 1: of all answers of MultiRC together, its F1a (Khashabi et
    al., NAACL 2018).
    """
    both = sum(1 for gold, found in zip(golds, predictions, strict=True) if gold == found == 1)
    positives = sum(golds) + sum(predictions)
    return 2 * both / positives if positives else 0.0


def expected_calibration_error(
    confidences: Sequence[float], corrects: Sequence[float], bins: int = 10
) -> float:
    """Return how far confidence and accuracy lie apart on average, 0 to 1, in bins of equally many
    answers (Naeini et al. 2015; in HELM's way, arXiv 2211.09110, section 4.4).
    """
    order = sorted(range(len(confidences)), key=confidences.__getitem__)
    total = len(order)
    error = 0.0
    for number in range(bins):
        members = order[number * total // bins : (number + 1) * total // bins]
        if members:
            confidence = sum(confidences[one] for one in members)
            correct = sum(corrects[one] for one in members)
            error += abs(confidence - correct) / total
    return error


def rouge_l(prediction: str, answer: str) -> float:
    """Return ROUGE-L's F1: of the longest common subsequence of words (Lin 2004)."""
    found = re.findall(r"\w+", prediction.lower())
    wanted = re.findall(r"\w+", answer.lower())
    if not found or not wanted:
        return float(found == wanted)
    row = [0] * (len(wanted) + 1)
    for word in found:
        before = 0
        for place, other in enumerate(wanted, start=1):
            before, row[place] = (
                row[place],
                before + 1 if word == other else max(row[place], row[place - 1]),
            )
    common = row[-1]
    return 2 * common / (len(found) + len(wanted))
