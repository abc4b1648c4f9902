"""The mistakes that one can make in declarations: for each an edit of a lawful package, and what must be told of it."""

from __future__ import annotations

from typing import NamedTuple

from ml_assets.lib.core.errors import (
    ContractMismatch,
    DeclarationError,
    DuplicateName,
    NotDeterministic,
    NotIdentifiable,
    UnknownUpstream,
)

VIEW = "features/speed.py"
SPLIT = "splits/trips.py"
SOURCE = "sources/trips.py"
FRAME = "frames/late.py"
MODEL = "models/late.py"
CONTRACTS = "contracts/__init__.py"
VERSIONS = "versions.py"


class Mistake(NamedTuple):
    """One edit of a lawful package, and what must be told of it."""

    file: str
    old: str
    new: str
    kind: type[DeclarationError]
    says: str
    remedy: str
    told_at: str = ""


CASES = {
    "unknown upstream": Mistake(
        VIEW, "speed(trips):", "speed(trips, rides):",
        UnknownUpstream, r"features/speed@1 takes 'rides'", r"one of: trips",
    ),
    "no upstream": Mistake(
        SPLIT, "hash_s42(trips):", "hash_s42():",
        UnknownUpstream, r"splits/trips@hash-s42 takes no table", r"name a source",
    ),
    "missing contract": Mistake(
        VIEW, ", contract=contracts.Speed", "",
        DeclarationError, r"speed has no contract", r"class on FeatureContract",
    ),
    "contract of another stage": Mistake(
        VIEW, "contracts.Speed", "contracts.Trips",
        DeclarationError, r"speed has contract .*Trips", r"FeatureContract",
    ),
    "partitioned by no column": Mistake(
        VIEW, "@feature_view(", '@feature_view(partition_by=("bus",), ',
        ContractMismatch, r"partition_by names 'bus'", r"one of: car",
    ),
    "partitioned by a period of no time": Mistake(
        SOURCE, "@source(", '@source(partition_by=("day(minutes)",), ',
        ContractMismatch, r"partition_by says day\(minutes\) and the column is int32", r"month\(at\)",
    ),
    "partitioned by moments": Mistake(
        SOURCE, "@source(", '@source(partition_by=("started",), ',
        ContractMismatch, r"partition_by says started and the column is timestamp", r"month\(at\)",
    ),
    "partitioned by another function": Mistake(
        SOURCE, "@source(", '@source(partition_by=("week(started)",), ',
        DeclarationError, r"partition_by: 'week\(started\)' is no column", r"year, month, day, hour",
    ),
    "partitioned twice by a column": Mistake(
        SOURCE, "@source(", '@source(partition_by=("day(started)", "year(started)"), ',
        DeclarationError, r"partition_by: started is there twice", r"name a column",
    ),
    "unknown engine": Mistake(
        VIEW, "contract=contracts.Speed", 'contract=contracts.Speed, engine="sparc"',
        DeclarationError, r"speed asks for the engine 'sparc'", r"duckdb, spark, or leave it to ML_ASSETS_ENGINE",
    ),
    "split of unknown source": Mistake(
        SPLIT, 'of="trips", key', 'of="rides", key',
        UnknownUpstream, r"splits 'rides'", r"one of: trips",
    ),
    "split key unknown": Mistake(
        SPLIT, 'key="trip"', 'key="tripp"',
        ContractMismatch, r"key 'tripp', which is no column of Trips", r"one of: car",
    ),
    "split key not unique": Mistake(
        SPLIT, 'key="trip"', 'key="car"',
        ContractMismatch, r"key 'car', but Trips .* is unique in \(trip\)", r"unique =",
    ),
    "split gives more": Mistake(
        SPLIT, '"trip", split', '"trip", "car", split',
        ContractMismatch, r"also has car", r"give exactly \(trip, split\)",
    ),
    "split gives less": Mistake(
        SPLIT, '.select("trip", split=', ".select(split=",
        ContractMismatch, r"lacks trip", r"give exactly \(trip, split\)",
    ),
    "split of wrong type": Mistake(
        SPLIT, '("train", "test")', "(1, 2)",
        ContractMismatch, r"column 'split' is int8 in the expression", r"exactly",
    ),
    "unique column missing in contract": Mistake(
        CONTRACTS, 'unique = ("car", "event_timestamp")', 'unique = ("cars", "event_timestamp")',
        ContractMismatch, r"Config.unique of contract Speed names cars", r"add the column",
    ),
    "event timestamp missing in contract": Mistake(
        CONTRACTS, 'unique = ("car", "event_timestamp")', 'unique = ("car",)',
        ContractMismatch, r"Speed \(.*contracts/__init__.py:\d+\) is unique in \(car\)",
        r"unique = \('car', 'event_timestamp'\)", VIEW,
    ),
    "nullable key": Mistake(
        CONTRACTS, 'event_timestamp: Timestamp = Field(description="A',
        'event_timestamp: Timestamp = Field(nullable=True, description="A',
        ContractMismatch, r"Config.unique of contract Speed names event_timestamp, which may be null", r"never null",
    ),
    "event timestamp of wrong type": Mistake(
        CONTRACTS, "event_timestamp: Timestamp", "event_timestamp: int",
        ContractMismatch, r"event_timestamp is int64 in Speed", r"Timestamp", VIEW,
    ),
    "unique in Field": Mistake(
        CONTRACTS, 'trip: str = Field(description="Key")\n    car: str',
        'trip: str = Field(unique=True, description="Key")\n    car: str',
        DeclarationError, r"column 'trip' of contract Trips says Field\(unique=True\)",
        r'class Config: unique = \("trip",\)',
    ),
    "no description of a column": Mistake(
        CONTRACTS, 'Field(description="Distance, kilometres")', "Field()",
        DeclarationError, r"column 'km' of contract Trips has no", r"description=",
    ),
    "type that no table has": Mistake(
        CONTRACTS, "km: float", "km: complex",
        DeclarationError, r"column 'km' of contract Trips has type .*complex", r"use int, Int32",
    ),
    "unknown Config": Mistake(
        CONTRACTS, 'unique = ("trip",)', 'uniqe = ("trip",)',
        DeclarationError, r"Config of contract Trips says uniqe", r"keep `unique`",
    ),
    "expression lacks a column": Mistake(
        VIEW, ".agg(longest=", ".agg(shortest=",
        ContractMismatch, r"lacks longest and also has shortest", r"or Speed \(.*:\d+\)",
    ),
    "expression of another type": Mistake(
        VIEW, "known.minutes.max()", 'known.minutes.max().cast("int64")',
        ContractMismatch, r"column 'longest' is int64 in the expression, int32 in the contract", r"cast\('int32'\)",
    ),
    "unknown column in an expression": Mistake(
        VIEW, "known.minutes", "known.minuets",
        DeclarationError, r"features/speed@1: .*AttributeError.*minuets", r"use columns",
    ),
    "no table returned": Mistake(
        VIEW, "return known.group_by", "return known.km\n    return known.group_by",
        DeclarationError, r"gives FloatingColumn and no table", r"return an Ibis",
    ),
    "unknown view version": Mistake(
        VERSIONS, "speed@1", "speed@2",
        UnknownUpstream, r"feature version 'v1' names speed@2", r"one of: speed@1",
    ),
    "unreadable view": Mistake(
        VERSIONS, "speed@1", "speed",
        DeclarationError, r"'speed' is not a feature view", r"view@version",
    ),
    "unknown column of a view": Mistake(
        VERSIONS, "speed@1", "speed@1[fastest]",
        UnknownUpstream, r"chooses 'fastest' of speed@1", r"one of: longest",
    ),
    "view twice": Mistake(
        VERSIONS, '("speed@1",)', '("speed@1", "speed@1[longest]")',
        DuplicateName, r"view speed is twice", r"once",
    ),
    "unknown split version": Mistake(
        VERSIONS, '("hash-s42",)', '("hash-s42", "time")',
        UnknownUpstream, r"split version 'time' is listed", r"one of: hash-s42",
    ),
    "text instead of a tuple": Mistake(
        VERSIONS, '("hash-s42",)', '("hash-s42")',
        DeclarationError, r"SPLIT_VERSIONS is missing or is no tuple", r"SPLIT_VERSIONS =",
    ),
    "split versions of one table": Mistake(
        VERSIONS, '("hash-s42",)', '("hash-s42", "hash_s42")',
        DuplicateName, r"'hash-s42' and 'hash_s42' map to one table", r"differ",
    ),
    "feature versions of one name": Mistake(
        VERSIONS, '("speed@1",)}', '("speed@1",), "v_1": ("speed@1",), "v-1": ("speed@1",)}',
        DuplicateName, r"'v_1' and 'v-1' map to one table name", r"differ",
    ),
    "no docstring": Mistake(
        VIEW, '"""Longest trip."""', "",
        DeclarationError, r"has no description", r"docstring",
    ),
    "owner": Mistake(
        VIEW, "version=1,", 'version=1, owner="me",',
        DeclarationError, r"features/speed@1 has owner 'me'", r"team:<name>",
    ),
    "dataset name": Mistake(
        VIEW, "version=1,", 'version=1, name="Speed",',
        DeclarationError, r"features/Speed@1 is no table name", r"lower-case",
    ),
    "UDF": Mistake(
        VIEW, "known.minutes.max()", "twice(known.minutes.max())",
        NotIdentifiable, r"features/speed@1: .*a function of its own", r"Ibis expressions",
    ),
    "now": Mistake(
        VIEW, "trips.ended.notnull()", "trips.ended < ibis.now()",
        NotIdentifiable, r"the time of the run \(TimestampNow\)", r"time column",
    ),
    "random": Mistake(
        SPLIT, 'trips.trip.hexdigest("md5") < "8"', "ibis.random() < 0.5",
        NotIdentifiable, r"uses chance \(RandomScalar\)", r"hash a key",
    ),
    "not deterministic": Mistake(
        VIEW, "known.minutes.max()", 'known.km.mean().cast("int32")',
        NotDeterministic, r"features/speed@1: column 'longest' adds floats", r"exact_sum\(column, scale\)",
    ),
    "learns from the future": Mistake(
        VIEW, "event_timestamp=known.ended", "event_timestamp=known.started",
        DeclarationError, r"'longest' is made from trips.minutes, which is known at trips.ended",
        r"make event_timestamp from trips.ended",
    ),
    "files and parameters": Mistake(
        SOURCE, 'files={"trips"', 'files={"rides"',
        DeclarationError, r"sources/trips has files \(rides\) and takes \(trips\)", r"label",
    ),
    "event time": Mistake(
        SOURCE, 'event_time="started"', 'event_time="begun"',
        ContractMismatch, r"time 'begun' is not a column", r"Timestamp",
    ),
    "known at": Mistake(
        SOURCE, '"minutes": "ended"', '"minuets": "ended"',
        ContractMismatch, r"known_at names 'minuets'", r"one of: car",
    ),
    "model of unknown frame": Mistake(
        MODEL, 'frame="late"', 'frame="early"',
        UnknownUpstream, r"models/late learns from frame 'early'", r"one of: late",
    ),
    "frame of unknown split": Mistake(
        FRAME, 'split="trips"', 'split="rides"',
        UnknownUpstream, r"frames/late is split by 'rides'", r"one of: trips",
    ),
    "frame without label": Mistake(
        FRAME, 'split="trips"', 'split="trips", label="late"',
        ContractMismatch, r"LateFrame .* has no column 'late'", r"its label",
    ),
    "join key not in the spine": Mistake(
        CONTRACTS,
        'trip: str = Field(description="Key")\n    car: str = Field(description="The car")\n    event_timestamp',
        'trip: str = Field(description="Key")\n    auto: str = Field(description="The car")\n    event_timestamp',
        ContractMismatch, r"speed@1 in 'v1' is joined by 'car' \(string\), which the spine has not",
        r"add car to the spine", FRAME,
    ),
    "unknown metric": Mistake(
        MODEL, "test/roc_auc", "test/auc",
        DeclarationError, r"floor for unknown metric 'test/auc'", r"as in 'test/roc_auc'",
    ),
    "unknown part": Mistake(
        MODEL, "test/roc_auc", "dev/roc_auc",
        DeclarationError, r"metric 'dev/roc_auc'", r"train\|val\|test",
    ),
    "signature of a model": Mistake(
        MODEL, "(train, val, *, params, seed)", "(train, *, params, seed)",
        DeclarationError, r"takes \(train, params, seed\)", r"write \(train, val",
    ),
    "category": Mistake(
        MODEL, '("car",)', '("colour",)',
        ContractMismatch, r"category 'colour', which is no column of frame late", r"one of: car",
    ),
    "parameter that is no value": Mistake(
        MODEL, '{"depth": 3}', '{"depth": object}',
        DeclarationError, r"params are not plain", r"numbers, texts",
    ),
    "rule on something not upstream": Mistake(
        SPLIT, 'complete(of="trips")', 'complete(of="rides")',
        UnknownUpstream, r"rule 'complete' .* compares with 'rides'", r"take rides as a parameter",
    ),
    "two rules of one name": Mistake(
        SPLIT, 'complete(of="trips"),', 'complete(of="trips"), complete(of="trips"),',
        DuplicateName, r"two checks of name 'complete'", r"another name",
    ),
    "rule on an unknown column": Mistake(
        SPLIT, 'complete(of="trips"),', 'disjoint(by="bus", of="trips"),',
        DeclarationError, r"rule 'disjoint_bus' .* cannot be built", r"use columns",
    ),
}  # fmt: skip

PRELUDE = """
import ibis
from ml_assets.lib.declare import complete, disjoint

@ibis.udf.scalar.builtin
def twice(x: int) -> int: ...
"""
