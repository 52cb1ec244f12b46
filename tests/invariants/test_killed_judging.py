"""A hundred deaths in the middle of judging: what was acknowledged is there, once, and all counts
are right.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.storage.workspace import Workspace
from review.store.reviews import ReviewStore
from tests.conftest import ROOT
from tests.reviews import write_review

pytestmark = pytest.mark.slow
KILLS = 100
PEOPLE = ("amina", "juma", "neema", "asha")  # each in a process of their own
# the libraries are imported once: every process that judges is a fork of this one
JUDGING = """
import os, signal, sys
from pathlib import Path
from core.storage.workspace import Workspace
from review.judging.judge import Judge
from review.domain.rating import make_rating
from review.store.reviews import ReviewStore

def go_on_judging(person):
    judge = Judge(ReviewStore(Workspace(Path(sys.argv[1]))), "r", person)
    number = 0
    while pairs := judge.next_pairs(1):
        number += 1
        if number % 7 == 0:
            print("undone", judge.undo().id, flush=True)
        judge.rate(pairs[0].id, make_rating("ab"[number % 2], "why", a={"stars": 4}))
        print("rated", pairs[0].id, flush=True)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    person, said = line.split()
    if child := os.fork():
        print(child, flush=True)
    else:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 1)
        go_on_judging(person)
        os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks processes")
def test_a_hundred_kills_lose_no_acknowledged_verdict(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    file = tmp_path / "rows.csv"
    file.write_text(
        "instruction,output\n" + "".join(f"Say {n}.,It is {n}.\n" for n in range(5_000))
    )
    write_review(workspace, file, {"base": "base", "tuned": "tuned"}, 5_000)
    workspace.close()
    people = subprocess.Popen(
        [sys.executable, "-c", JUDGING, str(tmp_path / "w")], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    rng, kept = random.Random(1), {person: set[int]() for person in PEOPLE}
    for number in range(KILLS // len(PEOPLE)):
        said = {person: tmp_path / f"{person}-{number}.txt" for person in PEOPLE}
        let_judge_and_kill(people, said, rng.uniform(0, 0.05))
        for person, file in said.items():
            for line in file.read_text().splitlines():
                word, _, pair = line.partition(" ")
                if pair.isdigit():
                    (kept[person].add if word == "rated" else kept[person].discard)(int(pair))
    people.communicate()
    workspace = Workspace(tmp_path / "w")
    rows = workspace.database.query("SELECT pair_id, reviewer FROM verdicts")
    log = workspace.database.query("SELECT pair_id, reviewer, action FROM verdict_log ORDER BY id")
    counts = {
        person["name"]: person["judged"] for person in ReviewStore(workspace).people("r")["people"]
    }
    workspace.close()
    for person in PEOPLE:
        found = [row["pair_id"] for row in rows if row["reviewer"] == person]
        last = {row["pair_id"]: row["action"] for row in log if row["reviewer"] == person}
        assert len(found) == len(set(found)) == counts[person]
        assert {pair for pair, action in last.items() if action == "rated"} == set(found)
        # a death may come between an undoing and its word, never between a verdict and its row
        missing = kept[person] - set(found)
        assert all(last[pair] == "undone" for pair in missing) and len(missing) <= KILLS // len(
            PEOPLE
        )
        assert len(set(found) - kept[person]) <= KILLS // len(PEOPLE) and len(found) > KILLS // len(
            PEOPLE
        )


def let_judge_and_kill(
    people: "subprocess.Popen[str]", said: dict[str, Path], seconds: float
) -> None:
    """Let all judge till each has said something, and so long besides; then kill them."""
    going = [judging(people, person, file) for person, file in said.items()]
    while any(not file.is_file() or not file.read_text() for file in said.values()):
        assert all(is_alive(process) for process in going)
        time.sleep(0.01)
    time.sleep(seconds)
    for process in going:
        os.kill(process, signal.SIGKILL)
    while any(is_alive(process) for process in going):
        time.sleep(0.001)


def judging(people: "subprocess.Popen[str]", person: str, said: Path) -> int:
    """Start somebody who judges on and on and writes each acknowledgement to a file; return the
    process's number.
    """
    assert people.stdin is not None and people.stdout is not None
    people.stdin.write(f"{person} {said}\n")
    people.stdin.flush()
    return int(people.stdout.readline())


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
