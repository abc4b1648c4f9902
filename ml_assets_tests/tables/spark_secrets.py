"""A program that uses a lake through Spark, then prints all that Spark shows of itself.

python -m ml_assets_tests.tables.spark_secrets ENDPOINT REPOSITORY ACCESS_KEY_ID      (the secret: LAKE_SECRET)
"""

from __future__ import annotations

import os
import sys
from urllib.request import urlopen

import psutil
from pyspark.sql import SparkSession

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.engines import engine
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.spark import JARS, say
from ml_assets_tests.tables.examples import ROUTE, RUN, TABLE

PAGES = ("environment/", "jobs/", "SQL/", "executors/", "SQL/execution/?id=0", "SQL/execution/?id=1")
ANSWERS = ("environment", "sql?details=true", "allexecutors", "jobs")


def main() -> None:
    """Read and write once; then tell."""
    endpoint, repository, key = sys.argv[1:]
    tables = Tables(Lake(endpoint, repository, key, os.environ["LAKE_SECRET"]))
    with engine("spark", threads=2, jars=JARS).session(tables) as session:
        table = session.read(TABLE, Branch("main"))
        session.write(table, "features.copy", Branch("run-1"), schema=ROUTE, properties=RUN)
        frame = session._backend.frame(table)  # type: ignore[attr-defined]  # what a protocol does not show
        frame.explain("extended")
        frame.explain("formatted")
        _tell(frame.sparkSession)
    connections = [one for process in _family() for one in process.net_connections("inet") if one.status == "LISTEN"]
    say("LISTENS", sorted({connection.laddr.ip.removeprefix("::ffff:") for connection in connections}))


def _tell(spark: SparkSession) -> None:
    context = spark.sparkContext
    context.addFile(__file__)  # tells listeners of the environment, as it is by now
    say(context.getConf().getAll(), context.getConf().toDebugString())
    say(spark.sql("SET").collect(), spark.sql("SET -v").collect())
    say([process.cmdline() for process in _family()])
    for page in PAGES:
        say(_get(f"{context.uiWebUrl}/{page}"))
    for answer in ANSWERS:
        say(_get(f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/{answer}"))


def _family() -> list[psutil.Process]:
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def _get(url: str) -> str:
    with urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


if __name__ == "__main__":
    main()
