"""Helpers for the whole package: files, processes, resuming, options, timing, HTML."""
