"""Lineage: what goes to MLflow comes back unchanged."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import (
    FRAME_DIGEST,
    LAKEFS_COMMIT,
    RECIPE,
    VALUE_LIMIT,
    Lineage,
    ViewFacts,
    public_remote,
)
from ml_assets.lib.core.names import SPLITS
from ml_assets_tests.tracking.examples import EXAMPLE

names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
views = st.builds(
    ViewFacts, version=st.integers(1, 99), definition=st.text(), table=st.text(), digest=st.text(), commit=st.text()
)
figures = st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3)
lineages = st.builds(
    Lineage,
    **{name: st.text() for name, kind in Lineage.__annotations__.items() if kind == "str"},
    split_seed=st.none() | st.integers(),
    retrieved_at=st.datetimes(timezones=zones),
    views=st.dictionaries(names, views, max_size=4),
    registry_sha256=st.none() | st.text(),
    git_commit=st.none() | st.text(),
    git_remote=(st.none() | st.text()).map(public_remote),
    dirty=st.booleans(),
    seed=st.none() | st.integers(),
    parameters=st.dictionaries(names.filter(lambda name: name not in {"recipe", "seed"}), json_values, max_size=3),
    partition=st.none() | st.text(),
    samples=st.dictionaries(st.sampled_from(SPLITS), st.integers(0, 2**53)),
    scores=st.dictionaries(st.sampled_from(SPLITS), figures),
)


@given(lineages)
def test_a_lineage_comes_back_unchanged(lineage: Lineage) -> None:
    """Params and metrics together say everything, whatever the values are."""
    assert lineage == Lineage.from_params(lineage.as_params(), lineage.metrics())


@pytest.mark.parametrize("value", [1, 1.0, "1", True, None, -0.0, [1, 1.0], 2**60])
def test_a_parameter_keeps_its_type(value: Any) -> None:
    """``1``, ``1.0``, ``"1"`` and ``true`` are different parameters."""
    back = Lineage.from_params(replace(EXAMPLE, parameters={"p": value}).as_params()).parameters["p"]
    assert repr(value) == repr(back)


def test_params_of_others_are_passed_over() -> None:
    """A person may log more to the same run."""
    params = {**EXAMPLE.as_params(), "note": "x", "data/other": "y"}
    metrics = {**EXAMPLE.metrics(), "loss": 1.0}
    assert Lineage.from_params(params, metrics) == EXAMPLE


def test_keys_are_those_of_the_design() -> None:
    """The keys are an interface: people search MLflow for them."""
    data = "lakefs_repository lakefs_ref lakefs_commit split_table split_version split_seed split_digest"
    data += " frame_digest frame_recipe feature_schema_hash retrieved_at"
    expected = {
        "data": data,
        "features": "version views transform/route params_hash service registry_sha256",
        "code": "git_commit git_remote dirty environment",
        "model": "max_iter learning_rate seed recipe",
        "dagster": "run_id asset partition",
    }
    lineage = replace(EXAMPLE, registry_sha256="0" * 64)
    assert {f"{group}/{key}" for group, keys in expected.items() for key in keys.split()} == set(lineage.as_params())
    counts = {"data/train_samples": 7.0, "data/val_samples": 2.0, "data/test_samples": 1.0}
    assert {**counts, "test/roc_auc": 0.75} == lineage.metrics()


def test_version_tags_answer_the_reverse_question() -> None:
    """Whatever is asked of model versions is on them: data, features, code, recipe. Hyperparameters stay on the run."""
    tags = EXAMPLE.as_version_tags()
    assert {LAKEFS_COMMIT, FRAME_DIGEST, RECIPE, "features/transform/route", "code/git_commit"} <= set(tags)
    assert not [key for key in tags if key.startswith("dagster/") or key in {"model/seed", "model/max_iter"}]


def thirty_views() -> Mapping[str, ViewFacts]:
    """As many views as a rich feature version has, with hashes of the real length."""
    return {
        f"a_view_with_a_long_name_{number:02d}": ViewFacts(
            version=number,
            definition="expr1:" + string.hexdigits[number % 16] * 64,
            table=f"features.a_view_with_a_long_name_{number:02d}_v{number}",
            digest="tbl1:" + "d" * 64,
            commit="c" * 64,
        )
        for number in range(30)
    }


def test_thirty_views_fit_into_what_mlflow_keeps() -> None:
    """Long views go on under further keys; nothing is longer than any store allows, nothing is lost."""
    lineage = replace(EXAMPLE, views=thirty_views())
    params = lineage.as_params()
    assert max(map(len, params.values())) <= VALUE_LIMIT
    assert {"features/views", "features/views/2", "features/views/3"} <= set(params)
    assert lineage == Lineage.from_params(params, lineage.metrics())


@pytest.mark.parametrize("key", [LAKEFS_COMMIT, "features/views", "code/dirty", "data/retrieved_at"])
def test_a_missing_fact_is_named(key: str) -> None:
    """A run that was not logged by us says which param it lacks."""
    params = EXAMPLE.as_params()
    del params[key]
    with pytest.raises(TrackingError, match=key):
        Lineage.from_params(params)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data/split_seed", "x"),
        ("data/retrieved_at", "soon"),
        ("features/views", "[]"),
        ("features/views", '{"a": {}}'),
    ],
)
def test_a_spoilt_fact_is_an_error(key: str, value: str) -> None:
    """A value that cannot be what its key says is not passed on."""
    with pytest.raises(TrackingError, match="cannot be read"):
        Lineage.from_params({**EXAMPLE.as_params(), key: value})


@pytest.mark.parametrize(
    "change",
    [
        {"git_remote": "https://user:secret@example.com/x.git"},
        {"retrieved_at": datetime(2026, 1, 1)},  # noqa: DTZ001  (the naive time is what is refused)
        {"parameters": {"recipe": 1}},
        {"parameters": {"seed": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_must_not_be_logged_is_refused(change: dict[str, Any]) -> None:
    """Credentials, times without a zone, and parameters that would hide the recipe or the seed."""
    with pytest.raises(TrackingError) as error:
        replace(EXAMPLE, **change)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        (None, None),
        ("git@example.com:flights.git", "git@example.com:flights.git"),
        ("/srv/git/flights.git", "/srv/git/flights.git"),
        ("https://example.com/x.git", "https://example.com/x.git"),
        ("https://token@example.com/x.git", "https://example.com/x.git"),
        ("https://user:p@ss@example.com:8443/a@b.git", "https://example.com:8443/a@b.git"),
        ("https://example.com/x.git?private_token=abc", "https://example.com/x.git"),
        ("ssh://git@example.com/x.git", "ssh://git@example.com/x.git"),
        ("ssh://git:word@example.com/x.git", "ssh://git@example.com/x.git"),
    ],
)
def test_a_remote_is_shown_without_credentials(url: str | None, public: str | None) -> None:
    """A token in a URL never reaches MLflow; what is left can still be cloned."""
    assert public == public_remote(url)


@given(st.none() | st.text())
def test_a_public_remote_stays_as_it_is(url: str | None) -> None:
    """Cleaning twice is cleaning once: what was cleaned may be logged."""
    assert public_remote(url) == public_remote(public_remote(url))
