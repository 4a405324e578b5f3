"""The parts of ``pareto bench soup``."""
