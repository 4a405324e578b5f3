"""Reward-model ensembles, measured: over-optimisation, cost, calibration, labels."""
