"""A preference per request: one process that answers all of them from one live model."""
