"""Which assets get Spark, through which resource, and that it does not start where it is not used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
import pytest

from ml_assets.lib.assets.build import Builder
from ml_assets.lib.assets.metadata import Links
from ml_assets.lib.assets.resources import SparkSessionOf
from ml_assets.lib.core.errors import ConfigError
from ml_assets.lib.declare.registry import Declarations
from ml_assets.lib.gate.plan import Plan
from ml_assets_tests.assets.conftest import Dagster, Lakefs
from ml_assets_tests.gate.world import declarations

ALL = {
    *("sources/trips", "sources/log", "splits/trips"),
    *("features/longest", "features/cars", "features/shortest"),
    *("frames/late", "frames/asked", "models/late"),
}


@dataclass
class LazySpark:
    """What stands in for dagster-pyspark's resource: it notes that its session is asked for."""

    started: list[str] = field(default_factory=list)

    @property
    def spark_session(self) -> str:
        """Starts Spark."""
        self.started.append("session")
        return "the session"


def declared(**engines: str) -> Declarations:
    """The trips, with engines for views by name and for the frame."""
    all_ = declarations()
    views = {key: replace(view, engine=engines.get(view.name)) for key, view in all_.views.items()}  # type: ignore[arg-type]  # any text
    frames = {name: replace(one, engine=engines.get(name)) for name, one in all_.frames.items()}  # type: ignore[arg-type]  # as above
    return replace(all_, views=views, frames=frames)


def builder(
    declarations: Declarations, opened: Callable[..., Any] = lambda *_: None, engine: str = "duckdb"
) -> Builder:
    """A builder of assets."""
    return Builder(
        plan=Plan(declarations=declarations),
        open=opened,
        tracking=lambda: None,  # type: ignore[arg-type, return-value]  # not asked
        links=lambda lake: Links(lakefs=lake.endpoint, repository=lake.repository, mlflow="http://mlflow"),
        engine=engine,
    )


def needing(made: Builder, key: str) -> set[str]:
    """Assets that require a resource."""
    return {one.key.to_user_string() for one in made.assets() if key in one.required_resource_keys}


@pytest.mark.parametrize(
    ("engine", "engines", "expected"),
    [
        ("duckdb", {}, set()),
        ("spark", {}, ALL),
        ("duckdb", {"longest": "spark"}, {"features/longest"}),
        ("duckdb", {"late": "spark"}, {"frames/late", "models/late"}),
        ("spark", {"longest": "duckdb"}, ALL - {"features/longest"}),
    ],
    ids=["default", "setting", "a view", "a frame", "all but one"],
)
def test_who_needs_spark(engine: str, engines: Mapping[str, str], expected: set[str]) -> None:
    """By the setting, and by each declaration; a model as its frame does, whose rows it may have to rebuild."""
    made = builder(declared(**engines), engine=engine)
    assert needing(made, "pyspark") == expected
    assert made.uses_spark == bool(expected)
    assert needing(made, "lakefs") == ALL
    assert needing(made, "mlflow") == {"models/late"}


def test_nothing_starts_for_what_is_unchanged(dagster: Dagster) -> None:
    """The machinery is handed the resource, and Spark starts when the engine asks for a session, not before."""
    given: list[SparkSessionOf] = []
    spark, place = LazySpark(), dagster.place

    def opened(_lake: object, _tracking: object, session: SparkSessionOf) -> object:
        given.append(session)
        return place.machinery

    made = replace(builder(declared(), opened, engine="spark"), tracking=lambda: place.machinery.tracking)
    result = dg.materialize(
        made.assets(),
        selection=[dg.AssetKey(["features", "longest"])],
        partition_key="v1",
        instance=dagster.instance,
        resources={"lakefs": Lakefs(place), "mlflow": place.machinery.tracking, "pyspark": spark},
    )
    assert result.success
    assert not spark.started
    assert (given[0](), spark.started) == ("the session", ["session"])


def test_resources_lead_to_one_spark() -> None:
    """So that a process opens its machinery once."""
    assert SparkSessionOf(LazySpark()) == SparkSessionOf(LazySpark())
    assert len({SparkSessionOf(LazySpark()), SparkSessionOf(LazySpark())}) == 1


def test_a_declared_engine_is_the_one_that_computes(dagster: Dagster) -> None:
    """Of its own unit; what names none has that of the settings."""
    asked: list[str] = []

    def refusing(name: str) -> Any:
        asked.append(name)
        raise ConfigError("not here", remedy="none")

    machinery = replace(dagster.place.machinery, declarations=declared(longest="spark"), engine_named=refusing)
    views = {view.name: view for view in machinery.declarations.views.values()}
    assert machinery.systems.engine_of(views["cars"]) is machinery.engine
    with pytest.raises(ConfigError, match="not here"):
        machinery.systems.engine_of(views["longest"])
    assert asked == ["spark"]
