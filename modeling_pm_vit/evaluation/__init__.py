"""Runs the metrics: model, data and metrics to records, records to a report."""
