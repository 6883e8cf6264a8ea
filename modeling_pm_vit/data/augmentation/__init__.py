"""Random changes of training images and their masks: first drawn, then applied, image by image or in batches."""
