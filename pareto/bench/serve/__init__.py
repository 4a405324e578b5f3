"""Measurements of serving and of watching what is served."""
