"""Tests: packs that every implementation must pass, and one folder per package."""
