"""Pseudo masks: masks that a model makes of labelled images, to train on."""
