"""Experiments: code, configurations and results. Not shipped with the package."""
