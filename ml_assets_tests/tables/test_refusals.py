"""A table that could lead elsewhere, or hide a conflict, is refused; it cannot unpin itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.update import SetLocationUpdate

from ml_assets.lib.core.errors import (
    ForbiddenProperty,
    NonCanonicalPath,
)
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import FOLDER, ROUTE, TABLE, keys, write


def committed(lake: Lake, tables: Tables, branch: Branch, *values: int) -> Commit:
    """Write and commit."""
    write(tables, branch, *values)
    return lake.commit(branch, f"write {values}", {})


FORBIDDEN = {
    "write.metadata.path": "s3a://elsewhere/x",
    "write.data.path": "s3a://elsewhere/x",
    "write.folder-storage.path": "s3a://elsewhere/x",
    "write.object-storage.enabled": "true",
    "write.object-storage.path": "s3a://elsewhere/x",
    "write.metadata.compression-codec": "gzip",
    "write.py-location-provider.impl": "some.Code",
    "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
    "lake.ref": "main",
    "lake.repository": "other",
    "s3.endpoint": "http://elsewhere",
    "s3.secret-access-key": "oops",
}


@pytest.mark.parametrize("key", FORBIDDEN)
def test_properties_that_would_lead_elsewhere_are_refused(tables: Tables, work: Branch, key: str) -> None:
    """When the table is made, and later."""
    catalog = tables.catalog(work)
    with pytest.raises(ForbiddenProperty, match=key):
        catalog.create_table("features.bad", ROUTE, properties={key: FORBIDDEN[key]})
    assert not tables.exists("features.bad", work)
    write(tables, work, 1)
    with pytest.raises(ForbiddenProperty, match=key), catalog.load_table(TABLE).transaction() as transaction:
        transaction.set_properties({key: FORBIDDEN[key]})
    assert catalog.load_table(TABLE).metadata.properties.get(key) is None


@pytest.mark.parametrize("key", ["write.metadata.compression-codec", "write.object-storage.enabled"])
def test_properties_that_say_what_holds_anyway_are_allowed(tables: Tables, work: Branch, key: str) -> None:
    """``none`` and ``false`` change nothing."""
    value = {"write.metadata.compression-codec": "none", "write.object-storage.enabled": "false"}[key]
    made = tables.catalog(work).create_table(TABLE, ROUTE, properties={key: value})
    assert made.metadata.properties[key] == value


REFUSED: dict[str, Callable[[Catalog], object]] = {
    "location": lambda catalog: catalog.create_table("features.bad", ROUTE, location="s3a://elsewhere/x"),
    "format v3": lambda catalog: catalog.create_table("features.bad", ROUTE, properties={"format-version": "3"}),
    "format v1": lambda catalog: catalog.create_table("features.bad", ROUTE, properties={"format-version": "1"}),
    "rename": lambda catalog: catalog.rename_table(TABLE, "features.other"),
    "register": lambda catalog: catalog.register_table("features.bad", "s3a://elsewhere/x"),
    "namespace properties": lambda catalog: catalog.update_namespace_properties("features", updates={"a": "b"}),
    "views": lambda catalog: catalog.list_views("features"),
    "Iceberg branch": lambda catalog: branch_inside(catalog.load_table(TABLE)),
    "Iceberg tag": lambda catalog: tag_inside(catalog.load_table(TABLE)),
    "move": lambda catalog: move(catalog.load_table(TABLE)),
}


def branch_inside(table: Table) -> None:
    """Make an Iceberg branch."""
    table.manage_snapshots().create_branch(table.metadata.current_snapshot_id or 0, "inner").commit()


def tag_inside(table: Table) -> None:
    """Make an Iceberg tag."""
    table.manage_snapshots().create_tag(table.metadata.current_snapshot_id or 0, "inner").commit()


def move(table: Table) -> None:
    """Say that the table lies elsewhere."""
    table.catalog.commit_table(table, (), (SetLocationUpdate(location="s3a://elsewhere/x"),))


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_layout_does_not_allow_is_refused(tables: Tables, work: Branch, what: str) -> None:
    """With an error of ours, and the branch as before."""
    write(tables, work, 1)
    before = list(tables.lake.ls(work, ""))
    with pytest.raises((ForbiddenProperty, NonCanonicalPath)):
        REFUSED[what](tables.catalog(work))
    after = {stat.path for stat in tables.lake.ls(work, "")}
    assert after == {stat.path for stat in before}
    assert list(tables.tables(work)) == [TABLE]


def plant(lake: Lake, branch: Branch, change: Callable[[str], str]) -> None:
    """Change the head metadata behind our back, as another tool could."""
    path = max(stat.path for stat in lake.ls(branch, f"{FOLDER}metadata/v") if stat.path.endswith(".json"))
    lake.put(branch, path, change((lake.read(branch, path) or b"").decode()).encode())


def test_a_table_cannot_unpin_itself(lake: Lake, tables: Tables, work: Branch, main: Branch) -> None:
    """Properties that another tool committed do not move reads: the catalog's own win."""
    lake.merge(committed(lake, tables, work, 1), main, "publish", {})
    write(tables, work, 1, 2)

    def unpin(text: str) -> str:
        value = json.loads(text)
        value["properties"] |= {
            key: FORBIDDEN[key] for key in ("lake.ref", "lake.repository", "s3.endpoint", "py-io-impl")
        }
        return json.dumps(value)

    plant(lake, work, unpin)
    assert keys(tables, work) == [1, 2]
    with pytest.raises(ForbiddenProperty, match=r"lake\.ref"):
        write(tables, work, 3)


def test_code_named_by_a_table_is_not_loaded(lake: Lake, tables: Tables, work: Branch) -> None:
    """PyIceberg would import a location provider that metadata names."""
    write(tables, work, 1)
    home = json.dumps({"write.py-location-provider.impl": "antigravity.Easter"})[1:-1]
    plant(lake, work, lambda text: text.replace('"properties":{', f'"properties":{{{home},', 1))
    with pytest.raises(ForbiddenProperty, match="location-provider"):
        write(tables, work, 2)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "place", ["s3a://{repository}/other/", "s3://elsewhere/main/", "file:///tmp/", "s3a://{repository}x/main/"]
)
def test_foreign_locations_are_refused(lake: Lake, tables: Tables, work: Branch, place: str) -> None:
    """Metadata that another tool wrote with other paths is not read from there."""
    write(tables, work, 1)
    home = f"s3a://{lake.repository}/main/"
    plant(lake, work, lambda text: text.replace(home, place.format(repository=lake.repository)))
    with pytest.raises(NonCanonicalPath, match="is not below"):
        keys(tables, work)
