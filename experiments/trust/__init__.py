"""How far answers can be trusted: calibration and unknown images, over seeds, beside the plain ViT."""
