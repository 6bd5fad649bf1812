"""The Gradio theme of the page, light and dark, with fonts that Gradio serves from this machine."""

import gradio as gr

# Fonts given as plain strings would be downloaded; LocalFont uses the files that come with Gradio. Weight 600 and the serif
# Lora are left out: Gradio's files for them hold no Latin letters. The serif font is the reader's system font.
SANS, MONO = gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700))


def theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue="indigo", secondary_hue="amber", neutral_hue="slate", spacing_size="sm", radius_size="sm", text_size="md",
        font=[SANS, "sans-serif"], font_mono=[MONO, "monospace"],
    ).set(
        body_background_fill="#ffffff", body_background_fill_dark="#0f172a",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_border_width_dark="0px", block_padding="6px 0px", block_shadow="none",
        block_label_background_fill="transparent", block_label_background_fill_dark="transparent",
        block_info_text_color="#5b6778", block_info_text_color_dark="#9aa8bb",
        block_label_text_color="#1e293b", block_label_text_color_dark="#e2e8f0",
        block_title_text_color="#1e293b", block_title_text_color_dark="#e2e8f0",
        button_primary_background_fill="#4f46e5", button_primary_background_fill_dark="#4f46e5",
        button_primary_background_fill_hover="#4338ca", button_primary_background_fill_hover_dark="#4338ca",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#ffffff",
        input_background_fill="#f1f5f9", input_background_fill_dark="#1e293b",
        input_placeholder_color="#5b6778", input_placeholder_color_dark="#9aa8bb",
        slider_color="#4f46e5", slider_color_dark="#818cf8",
    )
