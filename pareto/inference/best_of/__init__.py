"""The best of several answers: drawn in one batch, judged by the run's objectives under its priorities, kept."""
