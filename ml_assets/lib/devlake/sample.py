"""The sample data of a new repository: a stand-in for what lakeFS puts there, at the same paths."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from ml_assets.lib.devlake.access import Repository

if TYPE_CHECKING:
    from ml_assets.lib.devlake.repo import Lake

_MESSAGE: Final = "Add sample data"
_TYPE: Final = "application/octet-stream"
_PIXEL: Final = bytes.fromhex(  # the smallest GIF
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_IMAGES: Final = """
commit-change-02.png commit-change.png create-lakefs-branch.png
duckdb-editor-02.png duckdb-editor-03.png duckdb-editor-04.png duckdb-editor-05.png duckdb-editor-06.png
duckdb-main-01.png duckdb-main-02.png duckdb-main-03.png
hooks-00.png hooks-01.png hooks-02.png hooks-03.png hooks-04.png hooks-05.png hooks-06.png hooks-07.png hooks-08.png
merge01.png merge02.png
quickstart-step-01-query.png quickstart-step-02-branch.png quickstart-step-03-merge.png
quickstart-step-04-rollback.png quickstart-step-05-actions.png
repo-contents.png waving-axolotl-transparent-w90.gif
"""
_COUNTRIES: Final = ("Canada", "Denmark", "Germany", "Finland", "Sweden", "United States of America")
_LAKES: Final = 100_000


def add_sample_data(lake: Lake, repository: Repository, committer: str) -> None:
    """Commit the sample data to the default branch, and protect it."""
    readme = f"# {repository.name}\n\nSample data of the embedded lake. The images stand in for those of lakeFS.\n"
    files = {
        "README.md": readme.encode(),
        "data/lakes.source.md": b"# lakes.parquet\n\nMade-up lakes, in the columns of lakeFS's sample table.\n",
        "lakes.parquet": _lakes(),
        **{f"images/{name}": _PIXEL for name in _IMAGES.split()},
    }
    name, branch = repository.name, repository.default_branch
    for path, content in files.items():
        blob = lake.store.files.write(content)
        lake.objects.stage(name, branch, path, blob, content_type=_TYPE, metadata={}, force=True)
    lake.commits.create(name, branch, _MESSAGE, committer=committer, force=True)
    lake.protection.put(name, [branch])


def _lakes() -> bytes:
    import pyarrow as pa  # heavy, and needed only here
    import pyarrow.parquet as pq

    numbers = range(1, _LAKES + 1)
    table = pa.table(
        {
            "Hylak_id": pa.array(numbers, pa.int32()),
            "Lake_name": [f"Lake {number}" for number in numbers],
            "Country": [_COUNTRIES[number % len(_COUNTRIES)] for number in numbers],
            "Depth_m": [number % 997 / 4 for number in numbers],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
