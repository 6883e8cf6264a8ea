"""What the maps of a classifier on the mean of the patches are worth without masks, and what masks add."""
