"""What was worked out for one request and is right for the next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The results that were asked for last. Any thread may ask.

    Unlike ``functools.lru_cache`` it can be asked whether something is there without working it out.
    """

    def __init__(self, most: int) -> None:
        """Start with nothing.

        Args:
            most: results that are kept.
        """
        self.most = most
        self.hits = 0
        """Results that were there."""
        self.misses = 0
        """Results that were worked out; what was refused counts for neither."""
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """What is there; ``None``: nothing."""
        with self._lock:
            if key not in self._kept:
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: K, value: V) -> V:
        """Keep a result that was worked out, in place of the one that nobody has asked for the longest; the result."""
        with self._lock:
            self.misses += 1
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return value
