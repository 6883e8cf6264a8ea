"""How far answers can be trusted: rare classes, calibration and unknown images, over seeds, beside the plain ViT."""
