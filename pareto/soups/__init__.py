"""Soups: policies whose update is a weighted sum of the adapters' updates."""
