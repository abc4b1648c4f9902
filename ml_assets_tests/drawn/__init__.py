"""Declarations that nobody has written: packages drawn at random, of which each is told wrong or runs on both engines."""
