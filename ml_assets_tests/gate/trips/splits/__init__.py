"""Split versions."""
