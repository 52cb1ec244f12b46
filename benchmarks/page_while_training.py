"""Measure how quickly the page answers while a run goes on, against the same page with nothing to
do.

Starts the app, asks over plain HTTP for what the Train screen asks for every second and for what a
reviewer's verdict needs, first idle and then during a run on the bundled sample. Prints the 50th
and 95th percentile in milliseconds and their ratio.

    python benchmarks/page_while_training.py [--asks N] [--json] python
    benchmarks/page_while_training.py --long 20000    # instead: a page on a run of so many steps
    that still goes on
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.datasets.dataset import load_dataset
from core.datasets.samples import SAMPLE
from core.storage.process_lock import held
from core.storage.workspace import Workspace
from core.training.events import EvalDone, RunStarted, StepDone
from core.training.runs.runner import add_run
from core.training.runs.store import RunStore
from core.training.settings import default_settings
from tests.serving import Server, free_port


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=100)
    parser.add_argument("--long", type=int, default=0, metavar="STEPS")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.long:
        print(json.dumps(measure_long(chosen.long, chosen.asks), indent=None if chosen.json else 2))
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), free_port())
        first_page_s = server.start()
        try:
            result = {"first_page_s": round(first_page_s, 1), **measure(server, chosen.asks)}
        finally:
            server.stop()
    print(json.dumps(result) if chosen.json else as_text(result))


def measure(server: Server, asks: int) -> dict[str, Any]:
    """Time both questions idle and training."""
    config = json.loads(get(server, "/config"))
    ask = {"page": lambda: get(server, "/"), "curves": lambda: watch(server, config)}
    for question in ask.values():
        question()
    time.sleep(15)  # the heavy libraries load behind the page
    idle = {name: percentiles(question, asks) for name, question in ask.items()}
    begin(server, config)
    while watch(server, config)["run"]["points"] < 3:
        time.sleep(0.5)
    training = {name: percentiles(question, asks) for name, question in ask.items()}
    return {"idle": idle, "training": training}


def measure_long(steps: int, asks: int) -> dict[str, Any]:
    """Time the monitor on a run that has many steps and gets one more before every question."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        name, runs = (
            add_run(workspace, load_dataset(SAMPLE), default_settings(), "long"),
            RunStore(workspace),
        )
        runs.record(name, RunStarted(name, 0, 2 * steps, 1000, 8, 2, 1, 1, "cpu"))
        for step in range(1, steps + 1):
            runs.record(name, step_done(step))
            if step % 500 == 0:
                runs.record(
                    name, EvalDone(step, step / 1000, 2.0, is_best=True, elapsed_s=float(step))
                )
        server = Server(Path(folder), free_port())
        server.start()
        try:
            # as the process that trains it would
            with held(workspace.run_folder(name) / ".lock", "The run goes on."):
                runs.set_state(name, "running")
                return ask_of_a_long_run(server, runs, steps, asks)
        finally:
            server.stop()
            workspace.close()


def ask_of_a_long_run(server: Server, runs: RunStore, steps: int, asks: int) -> dict[str, Any]:
    """Return milliseconds of the first and the later answers, their size, and the app's memory
    before and after.
    """
    config = json.loads(get(server, "/config"))
    get(server, "/")
    time.sleep(15)  # the heavy libraries load behind the page
    done = steps

    def one_more(**look: object) -> dict[str, Any]:
        nonlocal done
        done += 1
        runs.record("long", step_done(done))
        return watch(server, config, **look)

    started = time.perf_counter()
    first = watch(server, config)
    result: dict[str, Any] = {
        "steps": steps,
        "first_ms": round(1000 * (time.perf_counter() - started), 1),
    }
    result["kB"] = round(len(json.dumps(first)) / 1000)
    result["memory_before_mib"] = resident_mib(server)
    result["curves"] = percentiles(one_more, asks)
    result["with_small_charts"] = percentiles(lambda: one_more(details=True, axis="tokens"), asks)
    result["kB_with_small_charts"] = round(len(json.dumps(one_more(details=True))) / 1000)
    result["page"] = percentiles(lambda: get(server, "/"), asks)
    result["memory_after_mib"] = resident_mib(server)
    return result


def step_done(step: int) -> StepDone:
    """Return what a step of the long run would have told."""
    return StepDone(
        step, step / 1000, 2.0 + 1 / step, 1e-4, 1.0, 900 * step, 2500.0, 600.0, 0.4 * step
    )


def resident_mib(server: Server) -> int:
    """Return how much memory the app holds; Linux only."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return round(pages * 4096 / 2**20)


def percentiles(question: Callable[[], Any], asks: int) -> dict[str, float]:
    """Return the 50th and 95th percentile of a question's answers in milliseconds."""
    times = []
    for _ in range(asks):
        started = time.perf_counter()
        question()
        times.append(1000 * (time.perf_counter() - started))
        time.sleep(0.05)
    cuts = statistics.quantiles(times, n=20)
    return {"p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1)}


def get(server: Server, path: str, body: object = None) -> str:
    """Ask and return the answer's text."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        server.url + path, content, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def watch(server: Server, config: dict[str, Any], **look: object) -> dict[str, Any]:
    """Ask what the monitor asks every second."""
    component = next(
        block["id"] for block in config["components"] if block["props"].get("elem_id") == "monitor"
    )
    body = {
        "component_id": component,
        "fn_name": "watch_runs",
        "session_hash": "benchmark",
        "data": {"run": None, **look},
    }
    answer: dict[str, Any] = json.loads(get(server, "/gradio_api/component_server/", body))
    return answer


def begin(server: Server, config: dict[str, Any]) -> None:
    """Press Start with the form as it stands."""
    event = next(event for event in config["dependencies"] if event["api_name"] == "begin")
    values = {block["id"]: block["props"].get("value") for block in config["components"]}
    data = [values.get(component) for component in event["inputs"]]
    datasets = next(
        event for event in config["dependencies"] if event["api_name"] == "refresh_train"
    )
    refreshed = call(server, datasets["id"], [])
    data[0] = refreshed[0]["value"]
    call(server, event["id"], data)


def call(server: Server, event: int, data: list[Any]) -> list[Any]:
    """Run one event of the page and return its outputs."""
    get(
        server,
        "/gradio_api/queue/join",
        {"data": data, "fn_index": event, "session_hash": "benchmark"},
    )
    with urllib.request.urlopen(
        f"{server.url}/gradio_api/queue/data?session_hash=benchmark", timeout=120
    ) as stream:
        for line in stream:
            if (
                line.startswith(b"data: ")
                and (message := json.loads(line[6:]))["msg"] == "process_completed"
            ):
                outputs: list[Any] = message["output"]["data"]
                return outputs
    raise RuntimeError("the event never completed")


def as_text(result: dict[str, Any]) -> str:
    """Return the figures as lines."""
    lines = [f"first page after {result['first_page_s']} s"]
    for name in result["idle"]:
        idle, training = result["idle"][name], result["training"][name]
        lines.append(
            f"{name:8} idle p50 {idle['p50_ms']} p95 {idle['p95_ms']} ms   "
            f"training p50 {training['p50_ms']} p95 {training['p95_ms']} ms   p95 ratio "
            f"{training['p95_ms'] / idle['p95_ms']:.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
