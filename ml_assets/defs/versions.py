"""Every split version and feature version there is: the partition keys.

A published feature version is never edited: add another. A retired one leaves this file; its tables, publications and
models stay readable at their commits.
"""

SPLIT_VERSIONS = ("time-2013", "hash-s42", "group-tail")

FEATURE_VERSIONS = {  # "view@version" or "view@version[column, …]"
    "v1": ("schedule@1", "route@1"),
    "v2": ("schedule@1", "route@1", "origin_weather@1", "plane@1"),
    "v3": (
        "schedule@1",
        "route@1",
        "origin_weather@1",
        "plane@1",
        "carrier_origin_delay@1",
        "route_delay@1",
        "tail_last_leg@1",
    ),
}
