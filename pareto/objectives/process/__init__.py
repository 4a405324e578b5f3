"""Rewards for the steps of a reasoning: by rule where a step is arithmetic, by a trained model elsewhere."""
