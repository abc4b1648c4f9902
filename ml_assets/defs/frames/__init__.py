"""Frames: which rows a model learns from, when the prediction is asked for, and what it is about."""
