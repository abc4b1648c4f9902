"""The lakeFS client: branch, commit, merge, diff, and the one place that translates its errors.

Nothing outside this package knows `lakefs_sdk`, `lakefs` or their exceptions.
"""
