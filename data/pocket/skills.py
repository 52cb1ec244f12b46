"""What the pocket world can do with words, numbers and sentences: each skill draws one item.

Knows no wording. A skill is a function from the tables and a random generator to the values of one
item; the wordings in families/skills.toml name the values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from data.pocket.slots import begin

Values = dict[str, str]
Table = Sequence[Mapping[str, str]]

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
LARGEST_SUMMAND = 10
LARGEST_NUMBER = 999
_NAMED_SUBJECTS = 12  # so many of the names are also subjects of short sentences


@dataclass(frozen=True, slots=True)
class SkillTables:
    """What skills draw from."""

    names: tuple[str, ...]
    words: tuple[str, ...]  # short familiar words
    categories: Mapping[str, tuple[str, ...]]  # category to its members
    plural_kinds: Mapping[str, str]  # category to its plural: fruit to fruits
    judgements: Table  # word, sentiment
    lists: Mapping[str, tuple[str, ...]]  # facts/skill_words.toml: subjects, states, actions …
    deeds: tuple[tuple[str, str], ...]  # past tense, past participle
    loving: tuple[tuple[str, str], ...]  # plain form, third person


def calendar(_tables: SkillTables, rng: Random) -> Values:
    """Draw two days or months that follow each other, seen from one of them."""
    kind, names = rng.choice((("day", DAYS), ("month", MONTHS)))
    at = rng.randrange(len(names))
    earlier, later = names[at], names[(at + 1) % len(names)]
    pair = f"{earlier} {later}"
    if rng.random() < 0.5:
        return {
            "kind": kind,
            "relation": "after",
            "name": earlier,
            "neighbour": later,
            "pair": pair,
        }
    return {"kind": kind, "relation": "before", "name": later, "neighbour": earlier, "pair": pair}


def addition(_tables: SkillTables, rng: Random) -> Values:
    """Draw two small numbers and their sum."""
    a, b = rng.randint(1, LARGEST_SUMMAND), rng.randint(1, LARGEST_SUMMAND)
    return {"a": str(a), "b": str(b), "sum": str(a + b), "pair": f"{min(a, b)}+{max(a, b)}"}


def numberword(_tables: SkillTables, rng: Random) -> Values:
    """Draw a number; small ones come as often as large ones."""
    return {"digits": str(rng.randint(0, rng.choice((20, 99, LARGEST_NUMBER))))}


def letter(tables: SkillTables, rng: Random) -> Values:
    """Draw a word and ask for its first or its last letter."""
    word = rng.choice(tables.words)
    place, verb, at = rng.choice((("first", "begin", 0), ("last", "end", -1)))
    return {
        "word": word,
        "place": place,
        "verb": verb,
        "letter": word[at],
        "spelled": "-".join(word),
    }


def spelling(tables: SkillTables, rng: Random) -> Values:
    """Draw a word and spell it."""
    word = rng.choice(tables.words)
    return {"word": word, "spelled": "-".join(word)}


def upper(tables: SkillTables, rng: Random) -> Values:
    """Draw a word and write it large."""
    word = rng.choice(tables.words)
    return {"word": word, "capitals": word.upper()}


def sort(tables: SkillTables, rng: Random) -> Values:
    """Draw three words whose first letters differ."""
    mixed = rng.sample(tables.lists["sorted_words"], 3)
    while len({word[0] for word in mixed}) < 3:
        mixed = rng.sample(tables.lists["sorted_words"], 3)
    return dict(zip("pqrabc", mixed + sorted(mixed), strict=True)) | {
        "set": " ".join(sorted(mixed))
    }


def odd(tables: SkillTables, rng: Random) -> Values:
    """Draw three members of one category and one of another."""
    home, away = rng.sample(tables.lists["odd_categories"], 2)
    members = rng.sample(tables.categories[home], 3)
    stranger = rng.choice(tables.categories[away])
    mixed = rng.sample([*members, stranger], 4)
    listed = ", ".join(mixed)
    return {
        "list": listed,
        "odd": stranger,
        "kind": tables.plural_kinds[home],
        "set": " ".join(sorted(mixed)),
        "category": home,
    } | {f"member{at}": word for at, word in enumerate(members)}


def sentence(tables: SkillTables, rng: Random) -> Values:
    """Draw a statement with its question and its negative."""
    subject = rng.choice([*tables.lists["subjects"], *tables.names[:_NAMED_SUBJECTS]])
    share = rng.random()
    if share < 0.8:
        verb, rest = (
            (rng.choice(("is", "was")), rng.choice(tables.lists["states"]))
            if share < 0.45
            else (rng.choice(("can", "will", "must")), rng.choice(tables.lists["actions"]))
        )
        statement, question, negative = (
            f"{subject} {verb} {rest}",
            f"{verb} {subject} {rest}?",
            f"{subject} {verb} not {rest}",
        )
    else:
        plain, verb = rng.choice(tables.loving)
        rest = rng.choice(tables.lists["loved"])
        statement, question, negative = (
            f"{subject} {verb} {rest}",
            f"does {subject} {plain} {rest}?",
            f"{subject} does not {plain} {rest}",
        )
    return {"statement": begin(statement), "question": begin(question), "negative": begin(negative)}


def passive(tables: SkillTables, rng: Random) -> Values:
    """Draw who did something to whom, told from both sides."""
    doer, other = rng.sample(tables.lists["doers"], 2)
    past, participle = rng.choice(tables.deeds)
    return {
        "active": f"The {doer} {past} the {other}",
        "passive": f"The {other} was {participle} by the {doer}",
    }


def joining(tables: SkillTables, rng: Random) -> Values:
    """Draw two short sentences and the word that joins them; but and so take a comma."""
    first, second = sentence(tables, rng)["statement"], sentence(tables, rng)["statement"]
    link = rng.choice(("and", "but", "because", "so"))
    comma = "," if link in {"but", "so"} else ""
    inner = second if second.split(" ", 1)[0] in tables.names else second[0].lower() + second[1:]
    return {
        "first": first,
        "second": second,
        "link": link,
        "joined": f"{first}{comma} {link} {inner}",
    }


def passage(tables: SkillTables, rng: Random) -> Values:
    """Draw a passage of two people and one question about one of them."""
    buyer, stayer = rng.sample(tables.names, 2)
    place, goods, corner, deed = (
        rng.choice(tables.lists[name])
        for name in ("places", "bought", "quiet_places", "quiet_deeds")
    )
    journey, stayed = (
        f"{buyer} went to {place} and bought {goods}.",
        f"{stayer} stayed {corner} and {deed}.",
    )
    asked, wondered, reply = rng.choice(
        (
            (f"Who went to {place}?", f"who went to {place}", f"{buyer} went to {place}"),
            (f"Where did {buyer} go?", f"where {buyer} went", f"{buyer} went to {place}"),
            (f"What did {buyer} buy?", f"what {buyer} bought", f"{buyer} bought {goods}"),
            (f"Who bought {goods}?", f"who bought {goods}", f"{buyer} bought {goods}"),
            (f"Where did {stayer} stay?", f"where {stayer} stayed", f"{stayer} stayed {corner}"),
            (f"Who stayed {corner}?", f"who stayed {corner}", f"{stayer} stayed {corner}"),
            (f"What did {stayer} do?", f"what {stayer} did", f"{stayer} {deed}"),
        )
    )
    told = f"{journey} {stayed}" if rng.random() < 0.5 else f"{stayed} {journey}"
    return {"passage": told, "asked": asked, "wondered": wondered, "reply": reply}


def sentiment(tables: SkillTables, rng: Random) -> Values:
    """Draw a judgement of something."""
    row = rng.choice(tables.judgements)
    mood = rng.choice(
        ("glad", "happy", "pleased")
        if row["sentiment"] == "positive"
        else ("unhappy", "sorry", "cross")
    )
    return {**row, "subject": rng.choice(tables.lists["reviewed"]), "mood": mood}


_ALL = (
    calendar,
    addition,
    numberword,
    letter,
    spelling,
    upper,
    sort,
    odd,
    sentence,
    passive,
    joining,
    passage,
    sentiment,
)
SKILLS: Mapping[str, Callable[[SkillTables, Random], Values]] = {
    draw.__name__: draw for draw in _ALL
}
