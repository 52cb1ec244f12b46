"""The form of a run's settings, made of their declaration. Knows no event."""

from typing import Any

import gradio as gr

from core.training.settings import SETTINGS, Setting, TrainingSettings

Fields = dict[str, gr.components.Component]
# the lines of fields below "Advanced"
_GROUPS = ("prompt", "steps", "optimiser", "adapters", "weights", "device")


def lay_out_settings(defaults: TrainingSettings) -> tuple[Fields, gr.Textbox]:
    """Lay out one component per setting, the simple ones first, and the run's name; keys are the
    settings' names.
    """
    with gr.Row():
        fields = _lay_out_group("", defaults)
        name = gr.Textbox(
            "", label="Run name", placeholder="chosen for you", info="optional", elem_id="run-name"
        )
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        for group in _GROUPS:
            with gr.Row():
                fields |= _lay_out_group(group, defaults)
    return fields, name


def _lay_out_group(group: str, defaults: TrainingSettings) -> Fields:
    shown = {name: one for name, one in SETTINGS.items() if one.label and one.group == group}
    return {name: _field(getattr(defaults, name), one) for name, one in shown.items()}


def _field(value: Any, setting: Setting) -> gr.components.Component:
    told: dict[str, Any] = {"label": setting.label, "info": setting.info or setting.help}
    told |= {"interactive": True, "min_width": 130}
    if setting.choices:
        titles = setting.titles or setting.choices
        choices = list(zip(titles, setting.choices, strict=True))
        return gr.Dropdown(choices, value=value, filterable=False, **told)
    if isinstance(value, bool):
        return gr.Checkbox(value, **told)
    if isinstance(value, str):
        return gr.Textbox(value, **told)
    return gr.Number(value, precision=0 if isinstance(value, int) else None, **told)
