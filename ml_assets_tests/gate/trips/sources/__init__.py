"""Raw tables."""
