"""Figures of the explorer, one kind a file; free of Streamlit."""
