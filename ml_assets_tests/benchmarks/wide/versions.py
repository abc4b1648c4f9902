"""The partition keys: none."""

SPLIT_VERSIONS: tuple[str, ...] = ()

FEATURE_VERSIONS: dict[str, tuple[str, ...]] = {}
