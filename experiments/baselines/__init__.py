"""PM-ViT against every other explainer, by every metric, on several datasets: one command, one table."""
