"""Measure in Chromium how long it takes from a verdict's key to the next pair painted, idle and
while a run trains.

Needs Chromium (Debian's package `chromium`). The clock runs in the page, from the key's event to
the second animation frame after the pair has changed: the first draws it, the second begins when it
has been drawn.

    python benchmarks/judging_page.py [--verdicts 100] [--json]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page, sync_playwright

from core.datasets.samples import SAMPLE
from core.storage.workspace import Workspace
from tests.reviews import write_review
from tests.serving import Server, free_port

_ROOT = Path(__file__).parents[1]
_MEASURE = """
(keys) => new Promise((done) => {
  const root = document.querySelector("#pair section"), times = [];
  let begun = 0, at = 0;
  const press = () => {
    begun = performance.now();
    document.dispatchEvent(new KeyboardEvent("keydown", { key: keys[at], bubbles: true }));
  };
  new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(() => {
    times.push(performance.now() - begun);
    at += 1;
    if (at < keys.length) setTimeout(press, 150); else done(times);
  }))).observe(document.querySelector("#pair [data-pair]"), { attributes: true, attributeFilter: ["data-pair"] });
  press();
})
"""


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verdicts", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = _measure(Path(folder), chosen.verdicts)
    if chosen.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(
            f"{name:15} verdict to next pair painted: median {figures['median_ms']:.0f} ms, p95 "
            f"{figures['p95_ms']:.0f} ms"
        )


def _measure(folder: Path, verdicts: int) -> dict[str, Any]:
    workspace = Workspace(folder)
    write_review(
        workspace,
        SAMPLE,
        {"base": "The base says {prompt}", "tuned": "Tuned, it is {prompt}"},
        3 * verdicts,
    )
    workspace.close()
    server = Server(folder, free_port())
    server.start()
    try:
        with _page(server) as page:
            idle = _time(page, verdicts)
            with _training(folder):
                busy = _time(page, verdicts)
    finally:
        server.stop()
    return {"idle": idle, "while training": busy}


def _time(page: Page, verdicts: int) -> dict[str, float]:
    times = page.evaluate(_MEASURE, [str(1 + number % 4) for number in range(verdicts)])
    return {"median_ms": statistics.median(times), "p95_ms": statistics.quantiles(times, n=20)[-1]}


@contextmanager
def _page(server: Server) -> Iterator[Page]:
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("This needs Chromium (Debian's package `chromium`).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{server.url}/?tab=review")
        page.get_by_label("Your name").fill("Amina")
        page.wait_for_timeout(1500)
        page.locator("#judge").click()
        page.locator("#pair [data-part=work]").wait_for(state="visible")
        page.wait_for_timeout(1500)
        yield page
        browser.close()


@contextmanager
def _training(folder: Path) -> Iterator[None]:
    """Let a run of the sample go on beside the page, as the app starts it."""
    words = [
        sys.executable,
        "-m",
        "core",
        "train",
        "sample",
        "--name",
        "beside",
        "--epochs",
        "50",
        "--workspace",
        str(folder),
    ]
    process = subprocess.Popen(
        words, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "step" in line:
            break
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
