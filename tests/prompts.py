"""Questions with answers, and text of any kind, to be written in every prompt style."""

from hypothesis import strategies as st

from core.datasets.conversation import Example, Turn
from core.prompts.built_in import BUILT_IN

STYLES = list(BUILT_IN)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def ask(text: str, answer: str, given_input: str = "") -> Example:
    return Example(1, (Turn("user", text, given_input), Turn("assistant", answer)))
