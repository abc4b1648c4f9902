"""The partition keys."""

SPLIT_VERSIONS = ("hash-s42", "june")

FEATURE_VERSIONS = {"v1": ("longest@1",), "v2": ("longest@1", "cars@1", "shortest@1")}
