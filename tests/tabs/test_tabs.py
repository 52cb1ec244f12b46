"""All tabs together, and what they share."""

from tests.tabs.conftest import Open
from ui.chat.tab import build_chat_tab
from ui.data.tab import build_data_tab
from ui.page import build_page
from ui.results.tab import build_results_tab
from ui.review.tab import build_review_tab
from ui.services import Services
from ui.train.run_table import duration
from ui.train.tab import build_train_tab


def test_every_tab_opens_alone_and_all_open_together(services: Services, open_tab: Open) -> None:
    for build in (
        build_data_tab,
        build_train_tab,
        build_chat_tab,
        build_review_tab,
        build_results_tab,
    ):
        open_tab(build)
    names = [event.api_name for event in build_page(services).fns.values() if event.fn is not None]
    assert all(names) and len(set(names)) == len(names)


def test_times_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (4.4, 75, 3725)] == ["4 s", "1 min 15 s", "1 h 02 min"]
