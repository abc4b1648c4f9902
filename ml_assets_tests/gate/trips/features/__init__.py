"""Feature views."""
