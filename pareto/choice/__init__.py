"""Choosing a policy: priorities that hold, and weights learned from people."""
