"""What a classifier and its maps do for each class, for people: plain sentences, a table, the confusion matrix."""
