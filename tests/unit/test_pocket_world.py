"""The pocket world: its facts are unique, its wordings fit them, its prose gives no instruction,
its sample holds back what it must.
"""

import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from core.datasets.dataset import load_dataset
from core.datasets.near_duplicates import find_repeats
from core.datasets.samples import SAMPLE, SAMPLES
from data.pocket.chat import measured_prompts, plain, read_exchanges, read_unknown
from data.pocket.documents import Prose
from data.pocket.families import HOME, Family, load_world, read_table
from data.pocket.sample import ROWS_PER_FAMILY, Row, make_sample, write_conversations, write_sample
from data.pocket.slots import begin, go_on, spell_number, with_article

POCKET = load_world()
FAMILIES = list(POCKET.families.values())
ROWS = json.loads(SAMPLE.read_text(encoding="utf-8"))
TABLES = sorted(path.name for path in (HOME / "facts").glob("*.csv"))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_one_row_per_subject_and_plain_letters(name: str) -> None:
    rows = read_table(name)
    first = next(iter(rows[0]))
    assert [
        subject for subject, count in Counter(row[first] for row in rows).items() if count > 1
    ] == []
    assert all(None not in row and None not in row.values() for row in rows), (
        "a row has too many or too few fields"
    )
    text = (HOME / "facts" / name).read_text(encoding="utf-8")
    assert text.isascii()
    assert all(value == value.strip() for row in rows for value in row.values())


@pytest.mark.parametrize("name", ["opposite.csv", "rhyme.csv", "gender.csv"])
def test_a_table_that_is_read_both_ways_holds_each_word_once(name: str) -> None:
    words = [word for row in read_table(name) for word in row.values()]
    assert [word for word, count in Counter(words).items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("synonym.csv", "synonym"),
        ("use.csv", "use"),
        ("definition.csv", "definition"),
        ("job.csv", "work"),
    ],
)
def test_no_two_subjects_have_the_same_answer(name: str, column: str) -> None:
    assert [
        value
        for value, count in Counter(row[column] for row in read_table(name)).items()
        if count > 1
    ] == []


def test_triples_are_members_of_their_kind() -> None:
    members = {}
    for row in read_table("category.csv"):
        members.setdefault(row["category"], set()).add(row["word"])
    kinds = {row["one"].split(" ", 1)[1]: row for row in read_table("kinds.csv")}
    assert set(members) <= set(kinds), "every category has a triple"
    for category, words in members.items():
        assert {kinds[category][place] for place in ("first", "second", "third")} <= words


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_wording_of_a_family_fits_its_facts(family: Family) -> None:
    rng = Random(3)
    wordings = family.wordings
    asked = [text for pair in wordings.inputs for text in pair]
    for item in family.facts or [POCKET.draw(family, rng) for _ in range(200)]:
        for wording in (
            wordings.answer,
            *wordings.statements,
            *wordings.wonders,
            *wordings.questions,
            *wordings.given,
            *asked,
        ):
            filled = POCKET.people.fill(wording, item, rng)
            assert "{" not in filled
            assert "  " not in filled
    assert wordings.answer not in wordings.statements


def test_skills_compute_what_they_say() -> None:
    rng = Random(5)
    for _ in range(200):
        total = POCKET.draw(POCKET.families["addition"], rng)
        assert int(total["a"]) + int(total["b"]) == int(total["sum"])
        order = POCKET.draw(POCKET.families["sort"], rng)
        assert sorted((order["p"], order["q"], order["r"])) == [order["a"], order["b"], order["c"]]
        odd = POCKET.draw(POCKET.families["odd"], rng)
        kinds = {row["word"]: row["category"] for row in read_table("category.csv")}
        others = {kinds[word] for word in odd["list"].split(", ") if word != odd["odd"]}
        assert others == {odd["category"]}
        assert kinds[odd["odd"]] not in others
        letter = POCKET.draw(POCKET.families["letter"], rng)
        assert letter["word"][0 if letter["place"] == "first" else -1] == letter["letter"]
        told = POCKET.draw(POCKET.families["passage"], rng)
        assert told["reply"].split(" ", 1)[0] in told["passage"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (345, "three hundred and forty-five"),
        (1000, "one thousand"),
        (1760, ("one thousand seven hundred and sixty")),
        (3600, ("three thousand six hundred")),
        (1001, "one thousand and one"),
    ],
)
def test_numbers_are_spelled_the_british_way(number: int, words: str) -> None:
    assert spell_number(number) == words


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("apple", "an apple"),
        ("uniform", "a uniform"),
        ("hour", "an hour"),
        ("house", "a house"),
        ("umbrella", "an umbrella"),
        ("the sea", "the sea"),
    ],
)
def test_articles_follow_the_sound(noun: str, said: str) -> None:
    assert with_article(noun) == said


def test_sentences_begin_large_and_go_on_small() -> None:
    assert (begin('"yes," said she'), begin("7 plus 1 is 8")) == (
        '"Yes," said she',
        "7 plus 1 is 8",
    )
    assert (go_on("The sky is blue", frozenset()), go_on("Juma is tired", frozenset({"Juma"}))) == (
        "the sky is blue",
        "Juma is tired",
    )


@pytest.fixture(scope="module")
def prose() -> str:
    documents = [
        *islice(Prose(POCKET, Random(9)).documents(), 3000),
        *islice(Prose(POCKET, Random(9), late=True).documents(), 3000),
    ]
    return "\n".join(documents)


def test_prose_is_in_no_prompt_style_and_asks_for_no_fact_of_a_family(prose: str) -> None:
    assert not re.search(r"### |<\|", prose)
    rng = Random(10)
    for family in FAMILIES:
        for item in family.facts or [POCKET.draw(family, rng) for _ in range(60)]:
            for question in family.wordings.questions:
                assert POCKET.people.fill(question, item, rng) not in prose


def test_prose_holds_no_measured_prompt_and_no_unknown_question_that_is_held_out(
    prose: str,
) -> None:
    lines = {plain(line) for line in re.split(r'[\n"]|: |^- ', prose)}
    # "good morning", in Swahili
    subjects = {plain(next(iter(item.values()))) for family in FAMILIES for item in family.facts}
    assert not lines & {plain(prompt) for prompt in measured_prompts()} - subjects
    held_out = {
        plain(row["instruction"])
        for row in ROWS
        if row["family"] == "unknown" and row["split"] != "train"
    }
    assert len(held_out) == 18
    assert not lines & held_out


@pytest.mark.parametrize(
    "family",
    [family for family in FAMILIES if family.wordings.given],
    ids=lambda family: family.name,
)
def test_a_worksheets_given_line_decides_its_answer(family: Family) -> None:
    rng = Random(11)
    answers: dict[str, set[str]] = {}
    for _ in range(600):
        item = POCKET.draw(family, rng)
        for wording in family.wordings.given:
            answer = POCKET.people.fill(family.wordings.answer, item, Random(0))
            answers.setdefault(POCKET.people.fill(wording, item, Random(0)), set()).add(answer)
    assert {given: said for given, said in answers.items() if len(said) > 1} == {}


def test_small_talk_is_said_once_and_answered_shortly() -> None:
    exchanges = read_exchanges()
    said = [line for exchange in exchanges for line in exchange.said]
    assert len(said) == len(set(said))
    assert all(len(exchange.answer.split()) <= 24 for exchange in exchanges)
    assert not {*read_unknown("questions"), *read_unknown("near")} & set(said)


def test_the_sample_is_what_the_recipe_makes(tmp_path: Path) -> None:
    write_sample(make_sample(POCKET, 1), tmp_path / "pocket.json")
    write_conversations(tmp_path / "conversations.json")
    assert (tmp_path / "pocket.json").read_bytes() == SAMPLE.read_bytes()
    assert (tmp_path / "conversations.json").read_bytes() == SAMPLES[
        "sample-conversations"
    ].read_bytes()


SPELLED = {spell_number(number): str(number) for number in range(100)}


def words_of(text: str, *, stems: bool = True) -> str:
    """Words in small letters, numbers in digits, without articles and plural endings: a coarser
    reading than the recipe's own.
    """
    found = (
        SPELLED.get(word, word) for word in re.findall(r"[a-z]+(?:-[a-z]+)?|\d+", text.lower())
    )
    kept = (
        re.sub(r"(?<=[a-z]{3})s$", "", word) if stems else word
        for word in found
        if word not in {"a", "an", "the"}
    )
    return f" {' '.join(kept)} "


def whole(row: Row) -> str:
    return f"{row.instruction}\n{row.input}\n{row.output}"


@pytest.mark.parametrize("seed", [1, 2])
def test_no_other_row_tells_the_fact_that_a_test_row_asks_for(seed: int) -> None:
    """Which fact a test row tells is read from its answer, not from how it was drawn."""
    rows = make_sample(POCKET, seed)
    conversations = [
        turn["content"]
        for row in json.loads(SAMPLES["sample-conversations"].read_text())
        for turn in row["messages"]
    ]
    open_texts = [whole(row) for row in rows if row.split != "test"]
    readings = {
        stems: [words_of(text, stems=stems) for text in open_texts] for stems in (True, False)
    }
    for row in rows:
        if row.split != "test" or row.family == "unknown" or not POCKET.families[row.family].facts:
            continue
        family = POCKET.families[row.family]
        told = [
            item
            for item in family.facts
            if begin(POCKET.people.fill(family.wordings.answer, item, Random(0))) == row.output
        ]
        if family.name == "mend":
            told = [item for item in told if item["mistake"] in whole(row)]
        assert len(told) == 1, row
        columns = {*family.answer_columns, *family.question_columns}
        stems = family.name != "plural"
        phrases = [words_of(told[0][column], stems=stems) for column in columns]
        assert [
            text for text in readings[stems] if all(phrase in text for phrase in phrases)
        ] == [], row
        assert row.output not in conversations, row


IDENTITIES = {  # what makes two rows of a skill the same item, read from question, input and answer
    "addition": lambda text: tuple(sorted(re.findall(r"\d+", text.splitlines()[-1])[:2])),
    "calendar": lambda text: frozenset(
        re.findall(r"[A-Z]\w+(?:day|ary|ch|il|ay|ne|ly|st|ber)\b", text.splitlines()[-1])
    ),
    "numberword": lambda text: re.findall(r"\d+", text)[0],
    "sort": lambda text: text.splitlines()[-1],
    "odd": lambda text: frozenset(re.findall(r"\w+", text.split(":")[-1])),
    "passive": lambda text: text.splitlines()[-1],
    "joining": lambda text: text.splitlines()[-1],
    "question": lambda text: frozenset(words_of(text.splitlines()[-1]).split()) - {"doe", "not"},
    "negation": lambda text: frozenset(words_of(text.splitlines()[-1]).split()) - {"doe", "not"},
    "sentiment": lambda text: next(
        row["word"]
        for row in read_table("sentiment.csv")
        if re.search(rf"was {row['word']}\b", text)
    ),
    "letter": lambda text: re.findall(r"letter of (\w+) is", text)[0],
    "spelling": lambda text: re.findall(r"(\w+) is spelled", text)[0].lower(),
    "upper": lambda text: re.findall(r"capital letters, (\w+) is", text)[0],
}
# families that share their items
TOGETHER = {"negation": "question", "spelling": "letter", "upper": "letter"}


@pytest.mark.parametrize("seed", [1, 2])
def test_skills_are_tested_on_items_they_are_not_trained_on(seed: int) -> None:
    found: dict[tuple[str, str], set[object]] = {}
    for row in make_sample(POCKET, seed):
        if row.family in IDENTITIES:
            identity = IDENTITIES[row.family](whole(row))
            assert identity, row
            found.setdefault((TOGETHER.get(row.family, row.family), row.split), set()).add(identity)
    for family in {name for name, _ in found}:
        assert not found[family, "test"] & (found[family, "train"] | found[family, "validation"]), (
            family
        )


def test_the_sample_has_its_shares() -> None:
    assert load_dataset(SAMPLE).refused == ()
    assert find_repeats(load_dataset(SAMPLE).examples).exact == ()
    families = Counter(row["family"] for row in ROWS if row["split"] == "test")
    assert all(families[family.name] == ROWS_PER_FAMILY["test"] for family in FAMILIES)
    assert 0.3 < sum(bool(row["input"]) for row in ROWS) / len(ROWS) < 0.4
    chat = [
        row
        for row in ROWS
        if row["family"] in {"small talk", "open", "unknown"} and row["split"] == "train"
    ]
    assert 200 <= len(chat) <= 300
    assert {row["output"] for row in ROWS if row["family"] == "unknown"} == {"I do not know that."}


def test_no_row_is_a_prompt_that_free_chat_is_measured_with() -> None:
    measured = {plain(prompt) for prompt in measured_prompts()}
    assert len(measured) == 60
    assert not {plain(row["instruction"]) for row in ROWS} & measured


def test_the_samples_readme_counts_right() -> None:
    text = (SAMPLE.parent / "README.md").read_text(encoding="utf-8")
    split = Counter(row["split"] for row in ROWS)
    family = Counter(row["family"] for row in ROWS if row["split"] == "train")
    assert f"{len(ROWS):,} rows" in text
    assert f"`input` ({sum(bool(row['input']) for row in ROWS)} rows" in text
    assert (
        f"`train` ({split['train']:,} rows), `validation` ({split['validation']}) or `test` "
        f"({split['test']})" in text
    )
    assert f"{family['small talk']} rows of small talk, {family['open']} open requests" in text
    assert f"`unknown`: {family['unknown']} (and " in text


@pytest.mark.parametrize(("word", "rows"), [("sample-swahili", 130), ("sample-conversations", 60)])
def test_the_other_samples_are_sound(word: str, rows: int) -> None:
    dataset = load_dataset(SAMPLES[word])
    assert (len(dataset.examples), dataset.refused) == (rows, ())
    assert find_repeats(dataset.examples).exact == ()
