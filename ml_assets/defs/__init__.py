"""Yours: declarations and pure functions; nothing here imports Dagster."""
