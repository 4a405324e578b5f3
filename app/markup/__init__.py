"""Pieces of pages as HTML, everything escaped; free of Streamlit."""
