"""Ensembles of reward models: what several heads say of a completion, and how far that can be trusted."""
