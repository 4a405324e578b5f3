"""Weights from the prompt: which of a run's policies a prompt is best answered by, learned from what was measured."""
