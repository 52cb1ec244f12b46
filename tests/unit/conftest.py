"""What several test files of this folder judge."""

from pathlib import Path

import pytest

from core.storage.workspace import Workspace
from review.store.reviews import ReviewStore
from tests.reviews import make_review


@pytest.fixture
def store(workspace: Workspace, small_file: Path) -> ReviewStore:
    return make_review(workspace, small_file, ("base", "tuned"))
