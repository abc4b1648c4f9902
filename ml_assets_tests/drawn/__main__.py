"""Runs drawn packages and says how many ran, were refused, and for what.

python -m ml_assets_tests.drawn 300               # as many packages: what check says of them
python -m ml_assets_tests.drawn 30 --run          # those that are lawful run as a whole, with DuckDB
python -m ml_assets_tests.drawn 30 --run --spark  # and Spark computes the same rows
python -m ml_assets_tests.drawn 30 --seed 7       # other packages
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from ml_assets.lib.devlake import server
from ml_assets.lib.engines import engine
from ml_assets.lib.gate import embedded
from ml_assets_tests.drawn.harness import Bench, told, written
from ml_assets_tests.drawn.packages import Drawn, write_distribution
from ml_assets_tests.drawn.strategy import packages
from ml_assets_tests.drawn.tally import Tally
from ml_assets_tests.lakes import LakeEndpoint
from ml_assets_tests.spark import JARS

_AT_ONCE: Final = 9
"""Hypothesis varies what it has drawn from the tenth example on: these are all different."""


def main() -> int:
    """Run as many as asked; 1 if a fault was found."""
    asked = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="drawn-")))
        write_distribution(folder / "packages")
        sys.path.insert(0, str(folder / "packages"))
        sys.dont_write_bytecode = True
        tally = Tally()
        _draw(asked, folder / "packages", _bench(asked, folder, stack), tally)
    sys.stdout.write("".join(f"{line}\n" for line in tally.lines()))
    for kind, shown in tally.shown.items():
        sys.stdout.write(f"\n=== {kind}\n{shown}")
    return 1 if tally.failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw packages of declarations, and say what comes of them.")
    parser.add_argument("number", type=int)
    parser.add_argument("--run", action="store_true", help="run what is lawful, instead of only checking it")
    parser.add_argument("--spark", action="store_true", help="compare with Spark")
    parser.add_argument("--no-models", action="store_true", help="train nothing")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _bench(asked: argparse.Namespace, folder: Path, stack: ExitStack) -> Bench | None:
    if not asked.run:
        return None
    found = server.ensure(folder / "lake", embedded.MODULE)
    stack.callback(server.stop, folder / "lake")
    (folder / "home").mkdir()
    endpoint = LakeEndpoint(found.url, found.access_key_id, found.secret_access_key)
    spark = engine("spark", threads=2, jars=JARS) if asked.spark else None
    return Bench(endpoint, folder / "home", folder / "packages", spark)


def _draw(asked: argparse.Namespace, folder: Path, bench: Bench | None, tally: Tally) -> None:
    @settings(
        max_examples=_AT_ONCE,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(packages())
    def each(drawn: Drawn) -> None:
        with written(drawn, folder):
            try:
                found = told(drawn, folder)
                ended = None
                if bench is not None and found.declarations is not None:
                    ended = bench.run(found.declarations, harmed=bool(drawn.harm), models=not asked.no_models)
            except Exception as error:  # noqa: BLE001  (all that must not happen is counted)
                tally.fail(drawn, error)
            else:
                tally.add(drawn, found, ended)

    for number in range(-(-asked.number // _AT_ONCE)):
        seed(asked.seed * 1000 + number)(each)()


if __name__ == "__main__":
    sys.exit(main())
