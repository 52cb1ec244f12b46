"""Colours, sizes and fonts of the page; all fonts are the machine's own. Knows no screen."""

import gradio as gr
from gradio.themes.utils import sizes


def build_theme() -> gr.themes.Base:
    """Return the theme; text on every ground has at least 4.5:1 contrast in light and dark."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        text_size=sizes.text_sm,
        spacing_size=sizes.spacing_sm,
        radius_size=sizes.radius_sm,
    ).set(
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="white",
        input_border_width="1px",
        input_border_color="*neutral_300",
        button_border_width="1px",
        button_large_text_weight="500",
        button_large_text_size="15px",
        button_large_padding="7px 14px",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="4px 0",
        block_shadow="none",
    )
