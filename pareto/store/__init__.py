"""A run's folder and its study: every file whole or absent, whatever kills the process that writes it."""
