"""The arena: who meets, at what pace they are seen, what is counted, and FastChat's files."""

import gzip
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import DataError, ModelError, ReviewError
from core.generation.model_cache import ModelCache
from core.storage.workspace import Workspace
from review.arena.battles import ArenaBattles, ShownBattle
from review.arena.draw import draw_models
from review.arena.exchange import export_battles, import_battles
from review.arena.leaderboard import leaderboard
from review.arena.pace import EvenPace
from review.arena.store import ArenaSettings, ArenaStore
from review.cli.main import main
from review.statistics.bradley_terry import Bout, rank
from review.statistics.style import style_features, style_of
from tests.endpoints import answering

NAMES = ("first-model", "second-model", "third-model")


def test_those_meet_of_whom_a_verdict_tells_most_and_sides_are_even() -> None:
    lot = random.Random(1)
    tallies = {("a", "b"): (500.0, 1000), ("a", "c"): (1.0, 2), ("b", "c"): (500.0, 1000)}
    drawn = Counter(draw_models(["a", "b", "c"], tallies, lot) for _ in range(4000))
    seldom = sum(many for pair, many in drawn.items() if set(pair) == {"a", "c"})
    assert seldom / 4000 == pytest.approx(0.75 + 0.25 / 3, abs=0.03)
    assert drawn["a", "c"] / seldom == pytest.approx(0.5, abs=0.04)
    assert len(drawn) == 6  # any two meet at times
    with pytest.raises(ReviewError, match="takes two models or more"):
        draw_models(["a", "a"], {}, lot)


def test_both_are_seen_equally_far_whoever_is_faster() -> None:
    """The same answers, A as fast as B or ten times as fast: nothing that is seen tells."""

    def seen(fast: int) -> list[int]:
        pace, shown = EvenPace(), []
        for step in range(400):
            lengths = (min(step * fast, 200), min(step, 300))
            whole = (step * fast >= 200, step >= 300)
            shown.append(pace.shown(step / 10, lengths, whole))
        return shown

    assert seen(10) == seen(2) == seen(1)
    assert seen(10)[-1] == 300 and max(np.diff(seen(10))) <= 1


def test_what_comes_after_the_shorter_end_goes_on_at_the_pace_of_both() -> None:
    pace = EvenPace()
    for step in range(101):  # 10 characters a second together
        pace.shown(step / 10, (step, step), (step == 100, False))
    assert pace.shown(10.1, (100, 5000), (True, True)) == 101  # the rest is there at once
    assert pace.shown(20.1, (100, 5000), (True, True)) == pytest.approx(201, abs=2)
    at_once = EvenPace()
    assert at_once.shown(0.0, (2, 900), (True, True)) <= 900
    assert at_once.shown(2.0, (2, 900), (True, True)) == 2 + 160  # no pace is known


def settings(*models: str) -> ArenaSettings:
    return ArenaSettings(models=models)


@pytest.fixture
def store(workspace: Workspace) -> ArenaStore:
    return ArenaStore(workspace)


def battle(n: int, winner: str = "model_a", **changes: Any) -> dict[str, Any]:
    said = [
        {"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": f"Answer {n}"},
    ]  # fmt: skip
    return {
        "question_id": f"{n:032x}", "model_a": NAMES[n % 3], "model_b": NAMES[(n + 1) % 3],
        "winner": winner, "judge": f"person {n % 2}", "turn": 1, "anony": True, "tstamp": 1.7e9 + n,
        "conversation_a": said, "conversation_b": said,
    } | changes  # fmt: skip


def written(folder: Path, rows: Any, name: str = "battles.json") -> Path:
    (folder / name).write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return folder / name


def test_battles_come_and_go_as_fast_chat_has_them(store: ArenaStore, tmp_path: Path) -> None:
    winners = ["model_a", "model_b", "tie", "tie (bothbad)"]
    rows = [battle(n, winners[n % 4]) for n in range(12)]
    assert import_battles(store, written(tmp_path, rows)) == 12
    assert import_battles(store, written(tmp_path, rows)) == 0
    lines = "\n".join(map(json.dumps, rows))
    assert import_battles(store, written(tmp_path, lines, "lines.jsonl")) == 0
    out = [json.loads(line) for line in export_battles(store.judged()).splitlines()]
    kept = (
        "question_id",
        "model_a",
        "model_b",
        "winner",
        "judge",
        "turn",
        "tstamp",
        "conversation_b",
    )
    assert [[one[k] for k in kept] for one in out] == [[one[k] for k in kept] for one in rows]
    assert sum(score for score, _ in store.tallies().values()) > 0
    assert sum(count for _, count in store.tallies().values()) == 12


def test_who_is_named_by_a_reply_is_not_counted(store: ArenaStore, tmp_path: Path) -> None:
    telling = [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "I am first-model."},
    ]
    rows = [battle(0, conversation_a=telling), battle(1, anony=False), battle(2)]
    import_battles(store, written(tmp_path, rows))
    board = leaderboard(store.judged())
    assert (board.battles, board.leaked) == (1, 2)
    assert sum(count for _, count in store.tallies().values()) == 1


def test_a_table_of_battles_counts_rows_that_are_alike(store: ArenaStore, tmp_path: Path) -> None:
    table = "left,right,winner\n" + "x,y,left\n" * 3 + "x,y,tie\n"
    assert import_battles(store, written(tmp_path, table, "food.csv")) == 4
    assert import_battles(store, written(tmp_path, table, "food.csv")) == 0
    [met] = leaderboard(store.judged()).meetings
    assert (met.first, met.battles, met.score) == ("x", 4, 3.5)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([battle(0), battle(1, winner="left")], r"battle 2: the winner \"left\" is none of model_a"),
        ([battle(0, model_b="")], "battle 1: model_b is missing"),
        ([battle(0, model_b=NAMES[0])], "the same"),
        ([3], "is no object"), ("[{", "cannot be read"), ("", "holds no battle"),
        ([battle(0, conversation_a="text")], "conversation_a is no list"),
        ([battle(0, winner=["model_a"])], "is none of model_a"),
        ([battle(0, judge="\ud800")], "half a character"),
    ],
)  # fmt: skip
def test_a_broken_file_leaves_nothing(
    store: ArenaStore, tmp_path: Path, rows: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        import_battles(store, written(tmp_path, rows))
    assert store.judged() == []


def test_lines_inside_texts_and_packed_tables_are_read(store: ArenaStore, tmp_path: Path) -> None:
    said = [{"role": "user", "content": "a\u2028b"}, {"role": "assistant", "content": "c\u0085d"}]
    lines = json.dumps(battle(0, conversation_a=said), ensure_ascii=False)
    assert import_battles(store, written(tmp_path, lines, "lines.jsonl")) == 1
    again = written(tmp_path, export_battles(store.judged()), "out.jsonl")
    assert import_battles(store, again) == 0
    packed = tmp_path / "battles.csv.gz"
    packed.write_bytes(gzip.compress(b"model_a,model_b,winner\nx,y,model_a\n"))
    assert import_battles(store, packed) == 1


def test_models_that_are_worlds_apart_are_ranked_and_drawn() -> None:
    names = [f"m{n}" for n in range(8)]
    pairs = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    bouts = [Bout(a, b, 1.0, n) for n, (a, b) in enumerate(pairs * 15)]
    assert [one.name for one in rank(names, bouts).standings] == names
    tallies = dict.fromkeys(pairs, (20.0, 20))
    assert set(draw_models(names, tallies, random.Random(0))) <= set(names)


def test_many_empty_lines_are_counted_at_once() -> None:
    assert style_of(["\n" * 100_000])[1:] == (0, 0, 0)


def test_style_is_counted_outside_code_and_taken_out_of_strengths() -> None:
    text = "# Head\n- one\n2. two\n**bold** and __bold__\n```\n# no\n- no\n```"
    assert style_of([text]) == (len(text), 1, 2, 2)
    features = style_features([((10, 0, 0, 0), (30, 0, 2, 0)), ((30, 0, 0, 0), (10, 0, 0, 0))])
    assert features[:, 0] == pytest.approx([-1, 1])
    assert features[0, 2] < 0 and not features[:, [1, 3]].any()
    # the better one wins by its length alone: nothing is left of its strength
    rng = np.random.default_rng(0)
    longer = rng.normal(1.0, 1.0, 800)
    wins = rng.random(800) < 1 / (1 + np.exp(-longer))
    bouts = [Bout("long", "short", float(won), n) for n, won in enumerate(wins)]
    plain, without = rank(["long", "short"], bouts), rank(["long", "short"], bouts, longer[:, None])
    assert plain.standings[0].name == "long" and plain.standings[0].low > 1000
    assert all(one.low < 1000 < one.high for one in without.standings)
    [effect] = without.effects
    assert effect.low < 1.0 < effect.high and effect.low > 0.5


def test_intervals_without_style_hold_the_truth() -> None:
    """About as often as they promise, over many made arenas."""
    hits = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first = rng.integers(0, 3, 240)
        second = (first + rng.integers(1, 3, 240)) % 3
        truth, style = np.array([0.5, 0.0, -0.5]), rng.normal(size=240)
        odds = truth[first] - truth[second] + 0.6 * style
        won = rng.random(240) < 1 / (1 + np.exp(-odds))
        names = ["a", "b", "c"]
        bouts = [
            Bout(names[i], names[j], float(w), n)
            for n, (i, j, w) in enumerate(zip(first, second, won, strict=True))
        ]
        found = rank(names, bouts, style[:, None])
        rating = {one.name: one for one in found.standings}
        true = 1000 + 400 / np.log(10) * truth
        hits += [rating[n].low <= t <= rating[n].high for n, t in zip(names, true, strict=True)]
    assert np.mean(hits) > 0.9


def says(text: str) -> Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return lambda _: (200, {"choices": [choice]})


def done(battles: ArenaBattles, key: str) -> ShownBattle:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        shown = battles.look(key, "Amina")
        if shown.is_done or shown.failure:
            return shown
        time.sleep(0.02)
    raise AssertionError("the battle does not end")


@pytest.fixture
def battles(workspace: Workspace) -> ArenaBattles:
    return ArenaBattles(workspace, ModelCache(workspace), clock=lambda: 10 * time.monotonic())


def test_a_battle_is_fought_over_two_prompts_and_judged(battles: ArenaBattles) -> None:
    with answering(body=says("one answer")) as (one, asked), answering() as (other, also_asked):
        models = (f"{one}#small", f"{other}#large")
        battles.store.set_settings(settings(*models))
        key = battles.begin("Amina", "  Hello there ")
        shown = done(battles, key)
        assert {shown.rounds[0].a, shown.rounds[0].b} == {"one answer", "HELLO THERE"}
        battles.go_on(key, "Amina", "Again")
        shown = done(battles, key)
        assert [one.prompt for one in shown.rounds] == ["Hello there", "Again"]
        assert [turn["content"] for turn in asked[1]["messages"]] == [
            "Hello there",
            "one answer",
            "Again",
        ]
        assert len(also_asked) == 2
        told = battles.vote(key, "Amina", "b")
    assert {told.a, told.b} == set(models) and told.leak == ""
    [kept] = battles.store.judged()
    assert (kept.row["model_a"], kept.row["verdict"], len(kept.turns)) == (told.a, "b", 2)
    with pytest.raises(ReviewError, match="is over"):
        battles.vote(key, "Amina", "a")
    with pytest.raises(ReviewError, match="is judged already"):
        battles.store.vote(key, "a", "")


def test_nobody_else_sees_or_judges_a_battle(battles: ArenaBattles) -> None:
    with answering(body=says("yes")) as (one, _):
        battles.store.set_settings(settings(f"{one}#a", f"{one}#b"))
        key = battles.begin("Amina", "Hello")
        done(battles, key)
        for forbidden in (battles.look, lambda k, p: battles.vote(k, p, "a")):
            with pytest.raises(ReviewError, match="is over"):
                forbidden(key, "Baraka")
        with pytest.raises(ReviewError, match="There is no verdict 'c'"):
            battles.vote(key, "Amina", "c")


def test_a_reply_that_names_a_model_is_told_and_not_counted(battles: ArenaBattles) -> None:
    with answering(body=says("I am SmolLM2, made by somebody.")) as (one, _):
        battles.store.set_settings(settings(f"{one}#a", f"{one}#b"))
        key = battles.begin("Amina", "Who are you?")
        done(battles, key)
        assert battles.vote(key, "Amina", "a").leak == "SmolLM2"
    assert leaderboard(battles.store.judged()).battles == 0


def test_a_model_behind_an_address_that_says_its_own_name_is_found(battles: ArenaBattles) -> None:
    with answering(body=says("I am my-tune-3.")) as (one, _):
        battles.store.set_settings(settings(f"{one}#my-tune-3", f"{one}#b"))
        key = battles.begin("Amina", "Who are you?")
        done(battles, key)
        battles.store.set_settings(settings("pocket", "other"))  # its owner has others meet now
        assert battles.vote(key, "Amina", "a").leak == "my-tune-3"


def test_a_verdict_is_on_what_was_seen(workspace: Workspace) -> None:
    slow = ArenaBattles(workspace, ModelCache(workspace), clock=lambda: 0.0)  # time stands still
    with answering(body=says("short")) as (one, _), answering(body=says("x" * 900)) as (other, _):
        slow.store.set_settings(settings(f"{one}#a", f"{other}#b"))
        key = slow.begin("Amina", "Hello")
        until = time.monotonic() + 30
        while not slow.look(key, "Amina").rounds[0].a and time.monotonic() < until:
            time.sleep(0.02)
        slow.vote(key, "Amina", "tie")
    [kept] = slow.store.judged()
    [turn] = kept.turns
    assert max(len(turn["response_a"]), len(turn["response_b"])) < 900
    time.sleep(0.3)  # in which an answer that comes late might be written
    assert slow.store.judged()[0].turns[0] == turn


def test_a_model_that_fails_is_left_out_for_a_while(battles: ArenaBattles) -> None:
    with answering(body=says("yes")) as (one, _), answering(404, {"error": "none"}) as (other, _):
        broken = f"{other}#broken"
        battles.store.set_settings(settings(f"{one}#a", f"{one}#b", broken))
        fought = 0
        for _ in range(12):
            key = battles.begin("Amina", "Hello")
            if not done(battles, key).failure:
                battles.vote(key, "Amina", "tie")
                fought += 1
        assert fought >= 11  # it fails once at most


def test_a_battle_that_cannot_be_fought_is_off_and_forgotten(battles: ArenaBattles) -> None:
    with answering(body=says("yes")) as (one, _), answering(404, {"error": "none"}) as (other, _):
        battles.store.set_settings(settings(f"{one}#a", f"{other}#b"))
        key = battles.begin("Amina", "Hello")
        assert "The battle is off." in done(battles, key).failure
        with pytest.raises(ReviewError, match="is over"):
            battles.look(key, "Amina")
    with pytest.raises(ReviewError, match="Write something"):
        battles.begin("Amina", "  ")
    with pytest.raises(ReviewError, match="20,000 are the most"):
        battles.begin("Amina", "x" * 20_001)
    battles.store.set_settings(settings("pocket", "no-such-model"))
    with pytest.raises(ModelError, match="no-such-model"):
        battles.begin("Amina", "Hello")


def test_local_models_fight_and_may_be_judged_before_they_are_done(
    battles: ArenaBattles, tiny_models: dict[str, Path]
) -> None:
    models = [str(tiny_models[name]) for name in sorted(tiny_models)[:2]]
    battles.store.set_settings(settings(*models))
    key = battles.begin("Amina", "Hello")
    until = time.monotonic() + 60
    while not battles.look(key, "Amina").rounds[0].a:
        assert time.monotonic() < until
        time.sleep(0.05)
    told = battles.vote(key, "Amina", "both_bad")
    assert {told.a, told.b} == set(models)


def test_the_command_shows_the_leaderboard(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [battle(n, "model_a" if n % 3 == 0 else "model_b") for n in range(30)]
    where = ["arena", "--workspace", str(workspace.folder)]
    file, out = written(tmp_path, rows), tmp_path / "out.jsonl"
    assert main([*where, "--import", str(file), "--export", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["battles"] == 30 and said["models"][0]["name"] == "first-model"
    assert len(out.read_text().splitlines()) == 30
    assert main([*where, "--without-style"]) == 0
    assert "first-model: 1," in capsys.readouterr().out
