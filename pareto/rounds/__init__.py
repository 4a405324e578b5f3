"""Iterative RLHF: roll out, label, refit the reward models, train, measure; again."""
