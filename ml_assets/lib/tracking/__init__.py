"""MLflow: write lineage, read it back, register models; the only place that imports MLflow."""
