"""One thread of a process computes, whoever asks; what it raises reaches who asked."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.generation.models_thread import (
    each_in_models_thread,
    in_models_thread,
    in_passing_thread,
    soon_in_models_thread,
)

here = threading.current_thread


def test_whoever_asks_one_thread_computes_and_the_main_one_where_it_asks_itself() -> None:
    assert in_models_thread(here) is threading.main_thread()
    with ThreadPoolExecutor(4) as askers:
        threads = {
            one.result() for one in [askers.submit(in_models_thread, here) for _ in range(40)]
        }
        nested = askers.submit(in_models_thread, lambda: in_models_thread(here)).result()
    assert threads == {nested} and nested is not threading.main_thread()


def test_two_never_compute_at_a_time() -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.002)
        inside -= 1

    with ThreadPoolExecutor(4) as askers:
        waiting = [askers.submit(in_models_thread, work) for _ in range(20)]
        for _ in range(10):
            in_models_thread(work)  # the main thread's turns are turns, too
        for one in waiting:
            one.result()
    assert most == 1


def test_items_are_made_there_one_when_it_is_asked_for() -> None:
    made: list[threading.Thread] = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(here())
            yield number

    def first() -> int:
        return next(each_in_models_thread(items()))

    with ThreadPoolExecutor(1) as asker:
        assert asker.submit(first).result() == 0
        assert len(made) == 1 and made[0].name.startswith("models")
        assert asker.submit(lambda: list(each_in_models_thread(items()))).result() == [0, 1, 2]


def test_an_error_reaches_who_asked_and_the_next_is_answered() -> None:
    def fail() -> None:
        raise ValueError("no")

    with ThreadPoolExecutor(1) as asker:
        for ask in (in_models_thread, in_passing_thread):
            with pytest.raises(ValueError, match="no"):
                asker.submit(ask, fail).result()
        assert asker.submit(in_models_thread, lambda: 3).result() == 3


def test_what_is_to_be_done_soon_waits_for_the_step_under_way() -> None:
    order: list[str] = []

    def step() -> None:
        soon_in_models_thread(lambda: order.append("soon"))  # as the memory's tidying would
        order.append("step")

    with ThreadPoolExecutor(1) as asker:
        asker.submit(in_models_thread, step).result()
        asker.submit(in_models_thread, lambda: None).result()
    assert order == ["step", "soon"]


def test_a_program_that_computes_in_its_main_thread_has_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.generation.models_thread._turn.is_elsewhere", False)
    monkeypatch.setattr("core.generation.models_thread._executor", None)
    order: list[str] = []

    def step() -> None:
        soon_in_models_thread(lambda: order.append("soon"))
        in_models_thread(lambda: order.append("within"))
        order.append("step")

    in_models_thread(step)
    assert order == ["within", "step", "soon"]
    soon_in_models_thread(lambda: order.append("at once"))
    assert order[-1] == "at once"
    assert list(each_in_models_thread(iter([1, 2]))) == [1, 2]


def test_a_passing_thread_has_ended_when_its_work_is_done() -> None:
    with ThreadPoolExecutor(1) as asker:
        passing = asker.submit(in_passing_thread, here).result()
        assert not passing.is_alive() and passing is not asker.submit(here).result()
    assert in_passing_thread(here) is threading.main_thread()
