"""Compute spent at inference, measured: best-of-N, adaptive N, the cache, process supervision, learned weights."""
