"""Measures of a classifier and of its explanations, as plain functions on arrays."""
