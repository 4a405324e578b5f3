"""Completions: sampled from a policy with common random numbers, and pooled once for every weight setting."""
