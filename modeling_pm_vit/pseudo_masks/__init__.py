"""Masks that no one drew: made by a model, for the trainer to learn from."""
