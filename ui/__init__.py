"""The screens. The only package that knows Gradio and Plotly."""
