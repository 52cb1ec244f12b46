"""The large libraries that models are loaded with, imported by one thread at a time.

They import one another in circles: two threads that begin at different ends get halves of them
("partially initialized module"). Whoever loads a model while the app still warms up waits here.
"""

import logging
import threading

_LOCK = threading.Lock()


def import_libraries() -> None:
    """Import torch, transformers, accelerate and peft, all that loading a model would import."""
    # what it says to its developers reads like a failure
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with _LOCK:
        import peft
        import transformers.generation.utils

        _ = peft, transformers.AutoModelForCausalLM, transformers.AutoTokenizer
