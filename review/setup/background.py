"""Reviews being answered in a background thread, one at a time. Knows no screen."""

import logging
import threading

from core.errors import ReviewError, UserError
from core.generation.model_cache import ModelCache
from core.storage.workspace import Workspace
from review.domain.states import ReviewState
from review.setup.generate_responses import answer_review, is_being_answered
from review.store.reviews import ReviewStore

log = logging.getLogger(__name__)


class ReviewJobs:
    """Answers one review at a time. A review that was cut off can be continued."""

    def __init__(self, workspace: Workspace, model_cache: ModelCache) -> None:
        """Mark reviews that an earlier process left half answered."""
        self._workspace = workspace
        self._model_cache = model_cache
        self._store = ReviewStore(workspace)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.current: str | None = None
        for row in self._store.all():
            if row["state"] == ReviewState.GENERATING and not is_being_answered(
                workspace, row["name"]
            ):
                self._store.set_state(
                    row["id"],
                    ReviewState.STOPPED,
                    "Fuata ended while responses were being made. Continue it.",
                )

    def check_idle(self) -> None:
        """Raise ReviewError while a review is being answered."""
        if self.current is not None:
            raise ReviewError(
                f"The review '{self.current}' is being answered: wait for it or stop it."
            )

    def start(self, name: str) -> None:
        """Answer a review in the background.

        Raises ReviewError while another one is being answered.
        """
        with self._lock:
            self.check_idle()
            self.current = name
            self._stop.clear()
            self._thread = threading.Thread(
                target=self._work, args=[name], name="review", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask the review that is being answered to stop; responses that are there stay."""
        self._stop.set()

    def close(self, timeout_s: float = 20) -> None:
        """Stop and wait."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self, name: str) -> None:
        try:
            answer_review(
                self._workspace,
                name,
                self._model_cache,
                self._stop.is_set,
                lambda _done, _total: None,
            )
        except UserError:
            log.info("The review %s could not be answered; its row says why", name)
        except (
            Exception
        ) as error:  # a fault must be seen on the page, and the next review must be able to start
            log.exception("The review %s ended with a fault", name)
            self._store.set_state(
                self._store.find(name)["id"],
                ReviewState.FAILED,
                f"A fault in Fuata or its libraries: {error!r}",
            )
        finally:
            self.current = None
