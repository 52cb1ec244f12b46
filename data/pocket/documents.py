"""Pre-training prose of the pocket world: documents that state its facts and make their reader copy
the subject.

What decides is copying (a small model learns a fact's form long before it learns to keep its
subject), so most documents say the same word again: one fact in several wordings, a subject with
all that is known of it, a wondering line and its statement, a worksheet. No family's fact is asked
for, nothing is in a prompt style; small talk and unknown questions are told as dialogue, and of
requests only the answer.
"""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from data.pocket.chat import UNKNOWN, read_exchanges, read_unknown
from data.pocket.families import Family, PocketWorld, read_table
from data.pocket.skills import Values
from data.pocket.slots import begin

# a table of so many facts counts once; larger and smaller ones by a power below 1
_FULL_WEIGHT_FACTS = 120
_SIZE_POWER = 0.6
_ANSWER_SHARE = 0.4  # of the statements that use the answer's own sentence
_OPENER_SHARE = 0.2


class Prose:
    """Writes documents, one after another, from one random generator."""

    def __init__(self, pocket: PocketWorld, rng: Random, *, late: bool = False) -> None:
        """Write what is read early, or what is read ``late``, while the learning rate falls."""
        self._late = late
        self._pocket = pocket
        self._rng = rng
        self._families = tuple(pocket.families.values())
        self._weights = [_weight(family) for family in self._families]
        self._worksheets = tuple(family for family in self._families if family.wordings.given)
        self._sheet_weights = [_weight(family) for family in self._worksheets]
        self._subjects = _subjects(self._families)
        self._words = tuple(sorted({word for word in self._subjects if word.isalpha()}))
        self._exchanges = read_exchanges()
        self._unknown = [
            question for question in read_unknown("questions") if question.endswith("?")
        ]
        self._topics, self._stories = read_table("topics.csv"), read_table("stories.csv")

    def documents(self) -> Iterator[str]:
        """Yield documents without end."""
        kinds: tuple[
            tuple[Callable[[], str], float, float], ...
        ] = (  # share of the documents early and late
            (self._repeated_facts, 0.17, 0.13),
            (self._one_subject, 0.10, 0.07),
            (self._wondering, 0.21, 0.22),
            (
                self._worksheet,
                0.15,
                0.28,
            ),  # the latest to be learned: a bare subject on a line of its own
            (self._copied_words, 0.04, 0.02),
            (self._one_family, 0.04, 0.02),
            (self._talk, 0.04, 0.03),
            (self._small_talk, 0.09, 0.09),
            (self._not_known, 0.03, 0.04),
            (self._topic, 0.08, 0.06),
            (self._story, 0.05, 0.04),
        )
        writers, early, late = zip(*kinds, strict=True)
        weights = late if self._late else early
        while True:
            yield self._rng.choices(writers, weights)[0]()

    def _repeated_facts(self) -> str:
        lines = []
        for _ in range(self._rng.randint(1, 3)):
            family = self._some_family()
            item = self._pocket.draw(family, self._rng)
            lines += [self._state(family, item) for _ in range(self._rng.randint(2, 4))]
        return self._join(lines)

    def _one_subject(self) -> str:
        lines = []
        for _ in range(self._rng.randint(1, 2)):
            subject = self._rng.choice(tuple(self._subjects))
            known = self._subjects[subject]
            lines.append(begin(self._frame("subjects", subject=subject)))
            lines += [
                self._state(family, item)
                for family, item in self._rng.sample(
                    known, min(len(known), self._rng.randint(2, 5))
                )
            ]
        return self._join(lines)

    def _wondering(self) -> str:
        lines = []
        for _ in range(self._rng.randint(2, 5)):
            family = self._some_family()
            item = self._pocket.draw(family, self._rng)
            wonder = self._fill(self._rng.choice(family.wordings.wonders), item).rstrip(".")
            lines.append(begin(self._frame("leads", wonder=wonder)))
            lines.append(
                self._answer(family, item)
                if self._rng.random() < 0.7
                else self._state(family, item)
            )
        return self._join(lines)

    def _worksheet(self) -> str:
        family = self._rng.choices(self._worksheets, self._sheet_weights)[0]
        heading = begin(self._frame("headings", topic=family.wordings.topic))
        between = self._rng.choice(("\n", "\n\n"))
        lines = [heading]
        for _ in range(self._rng.randint(1, 5)):
            item = self._pocket.draw(family, self._rng)
            lines += [
                self._fill(self._rng.choice(family.wordings.given), item).rstrip(),
                self._answer(family, item),
            ]
        return between.join(lines)

    def _copied_words(self) -> str:
        return self._join(
            [
                begin(self._frame("copies", words=self._some_words()))
                for _ in range(self._rng.randint(1, 3))
            ]
        )

    def _one_family(self) -> str:
        family = self._some_family()
        return self._join(
            [
                self._state(family, self._pocket.draw(family, self._rng))
                for _ in range(self._rng.randint(3, 8))
            ]
        )

    def _talk(self) -> str:
        speakers = self._rng.sample(self._pocket.people.names, 2)
        lines = []
        for at in range(self._rng.randint(2, 6)):
            family = self._some_family()
            lines.append(
                f"{speakers[at % 2]}: {self._state(family, self._pocket.draw(family, self._rng))}"
            )
        return "\n".join(lines)

    def _small_talk(self) -> str:
        return "\n".join(self._exchange() for _ in range(self._rng.randint(1, 4)))

    def _exchange(self) -> str:
        exchange = self._rng.choice(self._exchanges)
        first, second = self._rng.sample(self._pocket.people.names, 2)
        if exchange.is_request:
            return f"{second} said: {exchange.answer}"
        return self._spoken(first, self._rng.choice(exchange.said), second, exchange.answer)

    def _spoken(self, first: str, said: str, second: str, answer: str) -> str:
        return self._rng.choice(
            (
                f"{first}: {said}\n{second}: {answer}",
                f'"{said}" said {first}. "{answer}" said {second}.',
                f'{first} said, "{said}" {second} said, "{answer}"',
                f"- {said}\n- {answer}",
            )
        )

    def _not_known(self) -> str:
        lines = []
        for _ in range(self._rng.randint(1, 3)):
            question = self._rng.choice(self._unknown)
            first, second = self._rng.sample(self._pocket.people.names, 2)
            lines.append(self._spoken(first, question, second, UNKNOWN))
        return "\n".join(lines)

    def _topic(self) -> str:
        row = self._rng.choice(self._topics)
        sentences = self._rng.sample(
            [row["first"], row["second"], row["third"]], self._rng.randint(1, 3)
        )
        name = self._rng.choice(self._pocket.people.names)
        lead = self._rng.choice(
            (
                begin(row["topic"]) + "\n",
                f"{name} wrote about {row['topic']}: ",
                f"{name} thought about {row['topic']}. ",
                f"A few words about {row['topic']}. ",
                f"A sentence about {row['topic']}: ",
                "",
            )
        )
        return lead + " ".join(sentences)

    def _story(self) -> str:
        row = self._rng.choice(self._stories)
        name = self._rng.choice(self._pocket.people.names)
        lead = self._rng.choice(
            (f"A story about {row['about']}\n\n", f"{name} told a story about {row['about']}. ", "")
        )
        return lead + row["story"]

    def _some_family(self) -> Family:
        return self._rng.choices(self._families, self._weights)[0]

    def _some_words(self) -> str:
        return ", ".join(self._rng.sample(self._words, self._rng.randint(1, 5)))

    def _state(self, family: Family, item: Values) -> str:
        if self._rng.random() < _ANSWER_SHARE:
            return self._answer(family, item)
        statement = self._fill(self._rng.choice(family.wordings.statements), item)
        # "everyone knows that" takes no new sentence
        if self._rng.random() < _OPENER_SHARE and statement[0].islower():
            statement = f"{self._frame('openers')} {statement}"
        return begin(statement)

    def _answer(self, family: Family, item: Values) -> str:
        return begin(self._fill(family.wordings.answer, item))

    def _frame(self, name: str, **values: str) -> str:
        return self._fill(self._rng.choice(self._pocket.frames[name]), values)

    def _fill(self, wording: str, values: Mapping[str, str]) -> str:
        return self._pocket.people.fill(wording, values, self._rng)

    def _join(self, lines: list[str]) -> str:
        return self._rng.choice((" ", " ", "\n")).join(lines)


def _weight(family: Family) -> float:
    size = len(family.facts) or _FULL_WEIGHT_FACTS
    return family.weight * float((size / _FULL_WEIGHT_FACTS) ** _SIZE_POWER)


def _subjects(families: tuple[Family, ...]) -> dict[str, list[tuple[Family, Values]]]:
    """Return what several facts tell of the same word, by that word: a page about Kenya, about a
    dog, about big.
    """
    found: dict[str, list[tuple[Family, Values]]] = {}
    for family in families:
        for item in family.facts:
            found.setdefault(
                item[family.answer_columns[0]]
                .removeprefix("a ")
                .removeprefix("an ")
                .removeprefix("the "),
                [],
            ).append((family, item))
    return {subject: known for subject, known in found.items() if len(known) > 1}
