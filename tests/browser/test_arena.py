"""Twenty battles of two people at once, in a real browser: before a verdict nothing that comes to
the page tells who is who.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from core.storage.workspace import Workspace
from review.arena.leaderboard import leaderboard
from review.arena.store import ArenaSettings, ArenaStore
from tests.endpoints import answering
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BATTLES = 10  # of each person


def says(text: str) -> Any:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return lambda _: (200, {"choices": [choice]})


@dataclass
class Battler:
    """A person at a page, and what came to it since their last prompt."""

    page: Page
    name: str
    came: list[str] = field(default_factory=list)

    def open(self, server: Server) -> None:
        self.page.on("response", self._note)
        self.page.goto(f"{server.url}/?tab=arena")
        expect(self.page.locator("#leaderboard .fuata-result")).to_be_visible()
        self.page.locator("#arena-person").locator("input, textarea").fill(self.name)
        self.page.keyboard.press("Tab")

    def _note(self, response: Response) -> None:
        if "component_server" in response.url:
            self.came.append(f"{response.url} {json.dumps(response.headers)} {response.text()}")

    def ask(self, prompt: str) -> None:
        self.came.clear()
        box = self.page.locator("#arena-battle textarea")
        box.fill(prompt)
        box.press("Enter")

    def answers(self) -> list[str]:
        texts = self.page.locator("#arena-battle .text")
        expect(self.page.locator("#arena-battle [data-part=notice]")).to_contain_text(
            "Which is better?"
        )
        return texts.all_inner_texts()

    def judge(self, key: str) -> str:
        self.page.keyboard.press(key)
        notice = self.page.locator("#arena-battle [data-part=notice]")
        expect(notice).to_contain_text("A was ")
        return notice.inner_text()


def test_two_people_battle_and_nothing_tells_who_is_who(browser: Browser, server: Server) -> None:
    with (
        answering(body=says("short")) as (one, _),
        answering(body=says("rather longer words")) as (other, _),
    ):
        models = {"short": f"{one}#first", "rather longer words": f"{other}#second"}
        workspace = Workspace(server.workspace)
        store = ArenaStore(workspace)
        store.set_settings(ArenaSettings(models=tuple(models.values())))
        contexts = [browser.new_context() for _ in range(2)]
        people = [
            Battler(context.new_page(), name)
            for context, name in zip(contexts, ("Amina", "Juma"), strict=True)
        ]
        for person in people:
            person.open(server)
        sides = []
        for number in range(BATTLES):
            for person in people:
                person.ask(f"Question {number} of {person.name}?")
            for person in people:
                a, b = person.answers()
                before = " ".join(person.came) + person.page.locator("#arena-battle").inner_html()
                assert person.came, "nothing was noted"
                for model in models.values():
                    assert model not in before and model.partition("#")[0] not in before
                    assert model.partition("#")[2] not in before
                told = person.judge("1" if a == "short" else "2")
                assert told == f"A was {models[a]}, B was {models[b]}."
                sides.append(a == "short")
        expect(people[0].page.locator("#leaderboard")).to_contain_text("battles by 2 people")
        for context in contexts:
            context.close()
        board = leaderboard(store.judged())
        workspace.close()
    assert board.battles == 2 * BATTLES and board.people == 2
    assert board.models[0] == models["short"] and board.ranking.standings[0].low > 1000
    assert 0 < sum(sides) < 2 * BATTLES  # both stood on either side
