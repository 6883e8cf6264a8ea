"""The mask-loss experiment: variants of the loss, trained with equal budget over several seeds and evaluated alike."""
