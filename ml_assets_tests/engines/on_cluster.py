"""A program that computes a table on a cluster, writes and judges it, and tells how far it is.

python -m ml_assets_tests.engines.on_cluster ENDPOINT REPOSITORY ACCESS_KEY_ID BRANCH     (the secret: LAKE_SECRET)
"""

from __future__ import annotations

import os
import sys

import ibis.expr.types as ir

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.declare import Field, FrameContract
from ml_assets.lib.engines import engine
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.spark import JARS, say
from ml_assets_tests.tables.examples import RUN, TABLE

RESULT = "features.result"


class Result(FrameContract):
    """A row per pair of keys."""

    key: int = Field(description="One", ge=0)
    other: int = Field(description="Another", ge=1)
    text: str = Field(description="Hash of both", str_matches="[0-9a-f]{64}$")

    class Config:
        """Keys."""

        unique = ("key", "other")


def result(seed: ir.Table) -> ir.Table:
    """Slow to compute: each pair of keys, and a hash of a hash of it."""
    other = seed.select(other=seed.key)
    pairs = seed.select("key").cross_join(other)
    text = pairs.key.cast("string") + "|" + pairs.other.cast("string")
    for _ in range(20):
        text = text.hexdigest("sha256")
    return pairs.mutate(text=text)


def main() -> None:
    """Read the seed from main, write the result on the branch, print its row sum."""
    endpoint, repository, key, branch = sys.argv[1:]
    tables = Tables(Lake(endpoint, repository, key, os.environ["LAKE_SECRET"]))
    with engine("spark", jars=JARS).session(tables) as session:
        seed = session.read(TABLE, Branch("main"), ["key"])
        say("rows", session.row_sum(seed).rows)
        say("writing")
        session.write(result(seed), RESULT, Branch(branch), schema=Result.iceberg_schema(), properties=RUN)
        say("written")
        table = session.persist(session.read(RESULT, Branch(branch)))
        say("sum", session.row_sum(table))
        say("audit", Result.audit(table).counts)


if __name__ == "__main__":
    main()
