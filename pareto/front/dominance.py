"""Which points are non-dominated; every objective is maximised."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def nondominated(values: ArrayLike) -> NDArray[np.bool_]:
    """The points that no other point dominates (as good in all objectives, better in one).

    Args:
        values: to maximise, (n, m). A row with a NaN cannot be compared: it is never on the front and dominates
            nothing.

    Returns:
        (n,). All copies of a repeated non-dominated row are kept.
    """
    table = np.asarray(values, dtype=float)
    front: NDArray[np.bool_] = ~np.isnan(table).any(axis=1)
    if front.any():
        front[front] = moocore.is_nondominated(table[front], maximise=True, keep_weakly=True)
    return front
