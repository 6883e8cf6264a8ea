"""
Metrics of classifiers and of their explanations: arrays in, numbers out. They import no runner, model or dataset.

One metric per file; [`registry`] lists them. Nothing is imported here, since training uses single metrics without the
libraries that others need.
"""
