"""``pareto bench methods``: every published way to a frontier that fits this setting, on equal terms.

``lab`` is what all methods share, each method is a file of its own with its paper, ``compare`` judges them.
"""
