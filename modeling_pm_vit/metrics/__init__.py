"""Metrics: arrays in, numbers out. None of them imports a runner, a model or a dataset."""
