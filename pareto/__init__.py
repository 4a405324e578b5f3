"""Pareto: sweep objective weights of a language model and walk the frontier that comes out."""

__version__ = "0.1.0"
