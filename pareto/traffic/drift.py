"""Whether what comes now is like what came before: tests that may be looked at after every request.

As long as observations are exchangeable, the rank of each among all before it is a conformal p-value, uniform and
independent of the others (Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World"), whatever their
distribution. Bets against that are summed by Shiryaev and Roberts' rule R ← (1 + R)·f(p), so that a change is found as
quickly after a million requests as after ten (Vovk et al. 2021, "Retrain or not retrain: conformal test martingales for
change-point detection", COPA; Volkhonskiy et al. 2017, "Inductive conformal martingales for change-point detection").
Without drift R has the mean n after n observations, and so reaches a threshold c within N of them with a chance of at
most N / c. Bets are f(p) = ε·p^(ε−1) of several ε, and densities of the latest p-values, which learn what is unusual
(Fedorova et al. 2012, "Plug-in martingales for testing exchangeability on-line", ICML). Nobody has to choose between
them: the mean of their sums is as good a sum.

Requests of one user that resemble each other are not exchangeable with the rest: many from one hand can raise an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Tails = Literal["high", "any"]
POWERS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
"""ε of the bets: from very strange observations now and then to slightly strange ones all the time."""
HALF_LIVES = (50.0, 400.0)
"""Of what densities of p-values remember, in observations."""
BINS = 10
"""Of these densities."""
MULTIPLES = np.array([1.25, 1.5, 2.0, 3.0, 5.0])
"""Of the allowed share, on which ``Excess`` bets."""
_BLOCK = 1024
_LEAST = 1e-12


def threshold_for(chance: float, requests: int) -> float:
    """The evidence that undrifted traffic reaches within so many requests with at most this chance."""
    return requests / chance


class Evidence:
    """Shiryaev and Roberts' sum over several bets, whose mean is the evidence; grows with every observation given."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.n = 0
        """Observations."""
        self.since: int | None = None
        """Index of the observation at which the evidence first reached the threshold; it stays."""
        self._log = np.array(-np.inf)
        """Logarithm of R of each bet."""

    @property
    def alarm(self) -> bool:
        """Whether the threshold was ever reached."""
        return self.since is not None

    def bet(self, gains: Floats) -> Floats:
        """Go on.

        Args:
            gains: logarithm of what each of b bets multiplies its stake by at each of n observations, (n, b); under the
                hypothesis no multiple has a mean above 1, whatever came before.

        Returns:
            log10 of the evidence after each, (n,).
        """
        if not len(gains):
            return np.empty(0)
        total = np.cumsum(gains, axis=0)
        # R after k steps is e^S(k) · (R before + Σ e^−S(i) over the steps i < k); in logarithms nothing overflows.
        begun = np.concatenate([np.logaddexp(np.zeros((1, total.shape[1])), self._log), -total[:-1]])
        logs = total + np.logaddexp.accumulate(begun, axis=0)
        evidence = (np.logaddexp.reduce(logs, axis=1) - np.log(gains.shape[1])) / np.log(10)
        self._log = logs[-1]
        reached = np.flatnonzero(evidence >= np.log10(self.threshold))
        if self.since is None and reached.size:
            self.since = self.n + int(reached[0])
        self.n += len(gains)
        return np.asarray(evidence)


class Drift:
    """Whether numbers are still exchangeable with those before them and with a reference."""

    def __init__(self, reference: ArrayLike, *, tails: Tails = "any", threshold: float = 1e6, seed: int = 0) -> None:
        """Begin.

        Args:
            reference: finite values that nothing is strange about, (r,); may be empty.
            tails: what counts as a change: ``high`` values, or ``any`` change of the distribution.
            threshold: of the evidence, see ``threshold_for``.
            seed: of the ranks among equal values.
        """
        self._known = np.sort(np.asarray(reference, dtype=np.float64))
        self._tails = tails
        self._evidence = Evidence(threshold)
        self._rng = np.random.default_rng(seed)
        self._densities = [_Density(half_life) for half_life in HALF_LIVES] if tails == "any" else []

    @property
    def threshold(self) -> float:
        """Of the evidence."""
        return self._evidence.threshold

    @property
    def alarm(self) -> bool:
        """Whether the evidence ever reached the threshold."""
        return self._evidence.alarm

    @property
    def since(self) -> int | None:
        """Index of the observation at which it did."""
        return self._evidence.since

    def update(self, value: float) -> float:
        """One more; log10 of the evidence."""
        return float(self.extend([value])[0])

    def extend(self, values: Sequence[float] | Floats) -> Floats:
        """More, in the order in which they came, all finite; log10 of the evidence after each, (n,)."""
        places = self.places(np.asarray(values, dtype=np.float64))
        tails = [1 - places] if self._tails == "high" else [1 - places, places, 2 * np.minimum(places, 1 - places)]
        logs = np.log(np.maximum(np.stack(tails, axis=1), _LEAST))[:, :, None]
        powers = (np.log(POWERS) + (POWERS - 1) * logs).reshape(len(places), len(tails) * len(POWERS))
        return self._evidence.bet(np.column_stack([powers, *(d.gains(places) for d in self._densities)]))

    def places(self, values: Floats) -> Floats:
        """Rank of each among all before it and itself, in [0, 1], at random among equals; they count from then on."""
        found = np.empty(len(values))
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            earlier = np.tri(len(block), k=-1, dtype=bool)
            below = np.searchsorted(self._known, block) + (earlier & (block < block[:, None])).sum(axis=1)
            equal = np.searchsorted(self._known, block, "right") - np.searchsorted(self._known, block)
            equal = equal + 1 + (earlier & (block == block[:, None])).sum(axis=1)
            among = len(self._known) + 1 + np.arange(len(block))
            found[start : start + _BLOCK] = (below + self._rng.random(len(block)) * equal) / among
            self._known = np.sort(np.concatenate([self._known, block]), kind="stable")
        return found


class _Density:
    """Of the latest p-values: a histogram that forgets, begun with one value in each bin."""

    def __init__(self, half_life: float) -> None:
        self._decay = 0.5 ** (1 / half_life)
        self._counts = np.zeros(BINS)

    def gains(self, p: Floats) -> Floats:
        """Logarithm of the density at each as those before it have it, (n,); these count from then on."""
        found = np.minimum((p * BINS).astype(np.int64), BINS - 1)
        hits = np.eye(BINS)[found]
        counts, _ = lfilter([1.0], [1.0, -self._decay], hits, axis=0, zi=self._decay * self._counts[None])
        before = np.concatenate([self._counts[None], counts])
        self._counts = before[-1]
        before = before[:-1]
        return np.asarray(np.log(BINS * (1 + before[np.arange(len(p)), found]) / (BINS + before.sum(axis=1))))


class Excess:
    """Whether something happens in a larger share of requests than is allowed."""

    def __init__(self, allowed: float, *, threshold: float = 1e6) -> None:
        """Begin.

        Args:
            allowed: largest share that is no matter, in (0, 1).
            threshold: of the evidence, see ``threshold_for``.
        """
        # Likelihood ratios of a larger share; what exceeds 1 is drawn to the middle of what is left.
        shares = np.minimum(allowed * MULTIPLES, (1 + allowed) / 2)
        self._gains = np.log(np.array([(1 - shares) / (1 - allowed), shares / allowed]))
        self._evidence = Evidence(threshold)

    @property
    def alarm(self) -> bool:
        """Whether the evidence ever reached the threshold."""
        return self._evidence.alarm

    @property
    def since(self) -> int | None:
        """Index of the request at which it did."""
        return self._evidence.since

    def extend(self, happened: Sequence[bool] | NDArray[np.bool_]) -> Floats:
        """More requests, in order; log10 of the evidence after each, (n,)."""
        return self._evidence.bet(self._gains[np.asarray(happened, dtype=np.int64)])
