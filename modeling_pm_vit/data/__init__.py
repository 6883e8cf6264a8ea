"""Where images and masks come from, and how they become batches."""
