"""Sources, splits, features, frames, models and predictions as assets on lakeFS branches; `README.md` tells how."""
