"""Its source."""
