"""The machinery; nothing here imports `ml_assets.defs`."""
