"""Packages of declarations drawn at random: each is told wrong, or runs, on both engines alike."""
