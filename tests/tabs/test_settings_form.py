"""One declaration of every setting: the command line, the form and the checks are made of it."""

import re

import gradio as gr
import pytest

from core.cli.main import main
from core.errors import SettingsError
from core.training.settings import SETTINGS, change_settings, default_settings
from ui.train.settings_form import lay_out_settings

DEFAULTS = default_settings()


@pytest.fixture(scope="module")
def form() -> dict[str, gr.components.Component]:
    with gr.Blocks():
        return lay_out_settings(DEFAULTS)[0]


def test_the_command_line_has_an_option_for_every_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    options = {name for name in SETTINGS if f"--{name.replace('_', '-')} " in help_text}
    named_otherwise = {"mask_prompt", "day"}  # --train-on-prompt, and no option at all
    assert options == SETTINGS.keys() - named_otherwise
    assert "--train-on-prompt " in help_text
    for setting in SETTINGS.values():
        assert setting.has_option is False or setting.help in help_text
        assert all(choice in help_text for choice in setting.choices)


def test_the_form_has_a_field_for_every_setting_with_a_label(
    form: dict[str, gr.components.Component],
) -> None:
    assert {name: field.label for name, field in form.items()} == {
        name: setting.label for name, setting in SETTINGS.items() if setting.label
    }
    assert {name: field.value for name, field in form.items()} == {
        name: getattr(DEFAULTS, name) for name in form
    }
    above = [name for name in form if not SETTINGS[name].group]
    assert above == list(form)[:3] == ["epochs", "learning_rate", "batch_size"]
    kinds = {gr.Number: "max_tokens", gr.Checkbox: "compiled", gr.Dropdown: "keep"}
    assert all(type(form[name]) is kind for kind, name in kinds.items())
    assert form["keep"].choices[2] == ("every evaluation's", "every")


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.low is not None])
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond(name: str) -> None:
    setting, kind = SETTINGS[name], type(getattr(DEFAULTS, name))
    assert setting.low is not None and setting.high is not None
    for value in (setting.low, setting.high):
        changed = change_settings(default_settings(method="full"), {name: kind(value)})
        assert getattr(changed, name) == value
    for value in (setting.low - 1, setting.high + 1):
        with pytest.raises(SettingsError, match=f"^{re.escape(name.replace('_', ' '))}: must"):
            change_settings(DEFAULTS, {name: kind(value)})


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.choices])
def test_only_the_choices_are_allowed(name: str) -> None:
    for choice in SETTINGS[name].choices:
        assert getattr(change_settings(DEFAULTS, {name: choice}), name) == choice
    with pytest.raises(SettingsError, match=f"^{name.replace('_', ' ')}: must be one of"):
        change_settings(DEFAULTS, {name: "another"})
