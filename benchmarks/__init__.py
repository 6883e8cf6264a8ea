"""Benchmarks: time and memory of PM-ViT against baselines on the same machine. Not shipped with the package."""
