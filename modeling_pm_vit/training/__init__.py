"""Training PM-ViT through `transformers.Trainer`."""
