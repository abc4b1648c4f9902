"""The table of operations: filters, joins, sets and groups, each with Python's own answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from ml_assets_tests.engines.totals_pack import Relation, Row, groups, known, order

RELATIONS: Final = {
    "groups of reals": Relation(
        lambda t: t.group_by("x").agg(v=t.count()).select("v"),
        lambda rows: [
            (len(group),)
            for group in groups([{**r, "x": None if r["x"] is None else r["x"] + 0.0} for r in rows], "x").values()
        ],
    ),
    "distinct": Relation(lambda t: t.select("g", "f").distinct(), lambda rows: {(r["g"], r["f"]) for r in rows}),
    "inner join": Relation(
        lambda t: t.select("id", "k").join(t.select(other="id", k="k"), "k").select("id", "other"),
        lambda rows: [(r["id"], o["id"]) for r in rows for o in rows if r["k"] is not None and r["k"] == o["k"]],
    ),
    "join by a real": Relation(
        lambda t: t.select("id", "x").join(t.select(other="id", x="x"), "x").select("id", "other"),
        lambda rows: [
            (r["id"], o["id"])
            for r in rows
            for o in rows
            if r["x"] is not None and o["x"] is not None and order(r["x"]) == order(o["x"])
        ],
    ),
    "left join": Relation(
        lambda t: t.select("id", "k").left_join(t.filter(t.f).select(other="id", k="k"), "k").select("id", "other"),
        lambda rows: [
            (r["id"], o)
            for r in rows
            for o in [o["id"] for o in rows if o["f"] and r["k"] is not None and o["k"] == r["k"]] or [None]
        ],
    ),
    "outer join": Relation(
        lambda t: (
            t.filter(t.id < 6)
            .select("id", "k")
            .outer_join(t.filter(t.id > 4).select(other="id", k="k"), "k")
            .select("id", "other")
        ),
        lambda rows: _outer([r for r in rows if r["id"] < 6], [r for r in rows if r["id"] > 4]),
    ),
    "semi join": Relation(
        lambda t: t.select("id", "k").semi_join(t.filter(t.f), "k").select("id"),
        lambda rows: [
            (r["id"],) for r in rows if r["k"] is not None and any(o["f"] and o["k"] == r["k"] for o in rows)
        ],
    ),
    "anti join": Relation(
        lambda t: t.select("id", "k").anti_join(t.filter(t.f), "k").select("id"),
        lambda rows: [
            (r["id"],) for r in rows if not any(o["f"] and r["k"] is not None and o["k"] == r["k"] for o in rows)
        ],
    ),
    "join by an inequality": Relation(
        lambda t: t.select(a="id", b="at").pipe(
            lambda a: a.join(o := t.select(c="id", d="at"), a.b < o.d).select(id="a", other="c")
        ),
        lambda rows: [
            (r["id"], o["id"])
            for r in rows
            for o in rows
            if r["at"] is not None and o["at"] is not None and r["at"] < o["at"]
        ],
    ),
    "cross join": Relation(
        lambda t: t.select("id").cross_join(t.filter(t.id < 2).select(other="id")),
        lambda rows: [(r["id"], other) for r in rows for other in (0, 1)],
    ),
    "is in a subquery": Relation(
        lambda t: t.filter(t.k.isin(t.filter(t.f).k)).select("id"),
        lambda rows: [(r["id"],) for r in rows if r["k"] is not None and r["k"] in [o["k"] for o in rows if o["f"]]],
    ),
    "is not in a subquery with nulls": Relation(
        lambda t: t.filter(t.k.notin(t.filter(~t.f).k)).select("id"),
        lambda rows: [
            (r["id"],)
            for r in rows
            if r["k"] is not None and all(o["k"] is not None and o["k"] != r["k"] for o in rows if o["f"] is False)
        ],
    ),
    "scalar subquery": Relation(
        lambda t: t.filter(t.k == t.k.max().as_scalar()).select("id"),
        lambda rows: [(r["id"],) for r in rows if r["k"] == max(known(rows, "k"))],
    ),
    "union": Relation(
        lambda t: t.select("g", "x").union(t.select("g", "x")), lambda rows: [(r["g"], r["x"]) for r in rows] * 2
    ),
    "union distinct": Relation(
        lambda t: t.select("g", "f").union(t.select("g", "f"), distinct=True),
        lambda rows: {(r["g"], r["f"]) for r in rows},
    ),
    "intersect": Relation(
        lambda t: t.select("g", "f").intersect(t.filter(t.f).select("g", "f")),
        lambda rows: {(r["g"], r["f"]) for r in rows if r["f"]},
    ),
    "difference": Relation(
        lambda t: t.select("g", "f").difference(t.filter(t.f).select("g", "f")),
        lambda rows: {(r["g"], r["f"]) for r in rows} - {(r["g"], r["f"]) for r in rows if r["f"]},
    ),
    "filter by null": Relation(lambda t: t.filter(t.f).select("id"), lambda rows: [(r["id"],) for r in rows if r["f"]]),
    "filter by not": Relation(
        lambda t: t.filter(~t.f).select("id"), lambda rows: [(r["id"],) for r in rows if r["f"] is False]
    ),
    "drop null": Relation(
        lambda t: t.drop_null(["x", "f"]).select("id"),
        lambda rows: [(r["id"],) for r in rows if r["x"] is not None and r["f"] is not None],
    ),
    "fill null": Relation(
        lambda t: t.fill_null({"x": 0.5}).select("id", "x"),
        lambda rows: [(r["id"], 0.5 if r["x"] is None else r["x"]) for r in rows],
    ),
    "first rows": Relation(
        lambda t: t.order_by("x", "id").limit(4).select("id"),
        lambda rows: [(r["id"],) for r in sorted(rows, key=lambda r: (order(r["x"]), r["id"]))[:4]],
    ),
    "last rows": Relation(
        lambda t: t.order_by(t.x.desc(), "id").limit(4, offset=1).select("id"),
        lambda rows: [
            (r["id"],)
            for r in sorted(rows, key=lambda r: (r["x"] is None, tuple(-part for part in order(r["x"])), r["id"]))[1:5]
        ],
    ),
    "having": Relation(
        lambda t: t.group_by("g").having(t.count() > 1).agg(v=t.count()),
        lambda rows: [(g[0]["g"], len(g)) for g in groups(rows).values() if len(g) > 1],
    ),
    "value counts": Relation(lambda t: t.f.value_counts(), lambda rows: list(Counter(r["f"] for r in rows).items())),
}


def _outer(left: Sequence[Row], right: Sequence[Row]) -> list[tuple[Any, Any]]:
    pairs = [(r["id"], o["id"]) for r in left for o in right if r["k"] is not None and r["k"] == o["k"]]
    lone = [(r["id"], None) for r in left if r["id"] not in {a for a, _ in pairs}]
    return [*pairs, *lone, *((None, o["id"]) for o in right if o["id"] not in {b for _, b in pairs})]
