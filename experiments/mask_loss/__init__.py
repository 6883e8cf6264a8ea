"""Which form of the mask loss is best: arms of equal budget, trained and judged alike, over seeds."""
