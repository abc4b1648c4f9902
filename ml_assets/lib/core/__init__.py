"""The words of the project as types: units, refs, recipes, digests, publications, lineage, errors.

Nothing here imports a framework (no Dagster, MLflow, lakeFS, Spark, Feast, Ibis), so it loads instantly and can be
tested alone.
"""
