"""Work tells how far it is to whoever watches, and ends when they want no more of it."""

import json
import threading
import time
from pathlib import Path

import pytest

from core.datasets.dataset import load_dataset
from core.errors import StoppedError
from core.models.encoder import encoder_of
from core.models.resolve import find_model
from core.progress import TimeLeft, about_time, counted, ongoing, watched
from core.prompts.encoded_dataset import report_on


def test_shares_of_steps_add_up_and_nothing_is_told_where_nobody_watches() -> None:
    assert list(counted([1, 2, 3], "first")) == [1, 2, 3] and not ongoing()
    shares = []
    with watched("Work", {"first": 0.25, "second": 0.75}) as watch:
        assert [one.title for one in ongoing()] == ["Work"]
        for step in ("first", "unknown", "second"):
            for number in counted(range(4), step):
                if number == 2:
                    time.sleep(0.11)
                shares.append(watch.share)
    assert shares == sorted(shares) and watch.share == 1.0 and shares[-1] >= 0.25
    assert not ongoing()


def test_the_time_left_is_told_once_there_is_a_pace() -> None:
    with watched("Work", {"all": 1.0}) as watch:
        for number in counted(range(200), "all"):
            if number == 100:
                assert watch.left_s is None and not watch.is_long
                watch.began -= 10
        assert watch.is_long
        watch.share_of_step = 0.5
        assert watch.left_s == pytest.approx(10, abs=1)


def test_work_inside_work_is_a_part_of_it() -> None:
    with watched("Outer", {"all": 1.0}) as outer, watched("Inner", {"all": 1.0}) as inner:
        assert inner is outer and len(ongoing()) == 1
    assert not ongoing()


def test_a_long_check_is_stopped_and_can_be_made_again(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n} and {n * n}", "output": f"{n}"} for n in range(3000)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    dataset, encoder = load_dataset(path), encoder_of(find_model("pocket", None), "")

    def stop() -> None:
        for _ in range(1000):
            if found := [one for one in ongoing() if one.share > 0]:
                found[0].stop()
                return
            time.sleep(0.005)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(StoppedError, match=r"Checking rows\.json was stopped"):
        report_on(dataset, encoder, 512)
    stopper.join()
    assert not ongoing()
    assert report_on(dataset, encoder, 512).usable == 3000


def test_the_time_left_of_counted_steps_goes_by_the_pace_since_it_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("core.progress.time.monotonic", lambda: clock[0])
    left = TimeLeft()
    assert left.seconds("answering", 40, 100) is None  # nothing is known of its pace
    clock[0] += 10
    assert left.seconds("answering", 60, 100) == pytest.approx(20)
    assert left.seconds("scoring", 0, 10) is None  # another step has a pace of its own
    clock[0] += 10
    assert left.seconds("scoring", 10, 10) is None


def test_a_time_is_told_as_exactly_as_it_is_known() -> None:
    assert [about_time(seconds) for seconds in (0.2, 42.4, 240, 9000)] == [
        "about 1 s", "about 42 s", "about 4 min", "about 2.5 h",
    ]  # fmt: skip
