"""Answers from any place on a run's frontier."""
