"""The front: which points are non-dominated, how good the set is, and how sure that is.

Numbers need numpy and moocore only; pictures (``plot``) import plotly or matplotlib when one is drawn.
"""
