"""Sweeps, maps and measurements as processes of their own, and how far they are."""
