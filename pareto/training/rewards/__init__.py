"""Reward models from comparisons: ensembles of heads on frozen features, and LoRA members through TRL."""
