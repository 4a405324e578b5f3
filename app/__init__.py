"""The explorer: a Streamlit app over the runs' folders. ``pareto app`` starts it; ``pareto`` never imports it."""
