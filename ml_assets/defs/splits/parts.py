"""Two ways to divide: by a hash, which never moves a row as the data grows, and by time."""

from ml_assets.lib.declare import by_hash, by_time

__all__ = ["by_hash", "by_time"]
