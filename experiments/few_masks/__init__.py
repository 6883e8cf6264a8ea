"""What few masks, boxes or none at all are worth: equal budgets with and without them, several runs side by side."""
