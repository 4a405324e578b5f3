"""Prompts: read from files, data sets or the packaged sets, and split so that near-duplicates stay together."""

from pareto.prompts.load import load_prompts

__all__ = ["load_prompts"]
