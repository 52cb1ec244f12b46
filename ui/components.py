"""Our own components: `gr.HTML` drawn by three static files, a skeleton, its look and its script.

No data ever stands in those files (Gradio would run it as a program); it comes through ``value`` and server functions.
"""

from pathlib import Path


def static_files(folder: Path, name: str) -> dict[str, str]:
    """Return the arguments of ``gr.HTML`` for the component ``name`` in ``folder``."""
    return {
        "html_template": (folder / f"{name}.html").read_text(encoding="utf-8"),
        "css_template": (folder / f"{name}.css").read_text(encoding="utf-8"),
        "js_on_load": (folder / f"{name}.js").read_text(encoding="utf-8"),
    }
