"""What people see of a materialization: columns, their lineage, links, figures, failing rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.lib.declare.declarations import Declaration, FeatureView, Frame, Source, Split
from ml_assets.lib.gate.outcome import Outcome, Published, Refused, Unchanged

if TYPE_CHECKING:
    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.publication import CheckResult, Publication
    from ml_assets.lib.declare.columns import Column
    from ml_assets.lib.declare.registry import Declarations
    from ml_assets.lib.gate.plan import Partition


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where a person can look at commits, branches, runs and models."""

    lakefs: str
    repository: str
    mlflow: str

    def commit(self, commit: str) -> dg.UrlMetadataValue:
        """A commit in lakeFS."""
        return dg.MetadataValue.url(f"{self.lakefs}/repositories/{self.repository}/commits/{commit}")

    def branch(self, branch: str) -> dg.UrlMetadataValue:
        """A branch in lakeFS."""
        return dg.MetadataValue.url(f"{self.lakefs}/repositories/{self.repository}/objects?ref={branch}")

    def settled(self, settled: Mapping[str, str]) -> dict[str, dg.MetadataValue[Any]]:
        """MLflow run and model version, where the unit has them; other effects as text."""
        found: dict[str, dg.MetadataValue[Any]] = {key: dg.MetadataValue.text(value) for key, value in settled.items()}
        if "mlflow_run" in settled:
            path = f"{settled['mlflow_experiment']}/runs/{settled['mlflow_run']}"
            found["mlflow_run_link"] = dg.MetadataValue.url(f"{self.mlflow}/#/experiments/{path}")
        if "model_version" in settled:
            path = f"{settled['model']}/versions/{settled['model_version']}"
            found["mlflow_model_link"] = dg.MetadataValue.url(f"{self.mlflow}/#/models/{path}")
        return found


def of_outcome(
    outcome: Published | Unchanged,
    links: Links,
    declarations: Declarations,
    declaration: Declaration,
    partition: Partition,
) -> dict[str, Any]:
    """Metadata of a materialization."""
    publication = outcome.publication
    output = publication.outputs[0]
    found: dict[str, Any] = {
        "outcome": _outcome_word(outcome),
        "unit": str(outcome.unit),
        "lakefs_commit": outcome.commit.id,
        "lakefs_commit_link": links.commit(outcome.commit.id),
        "digest": output.digest,
        "recipe": publication.recipe,
        "pin": publication.pin.id,
        "bytes": output.bytes,
        "seconds": round(sum(outcome.seconds.values()), 3),
        "dagster/row_count": output.rows,
        "seconds_per_step": dg.MetadataValue.json({step: round(value, 3) for step, value in outcome.seconds.items()}),
        **links.settled(outcome.settled),
    }
    if isinstance(outcome, Published):
        found["lakefs_branch"] = outcome.branch.name
    if isinstance(declaration, Source | Split | FeatureView):
        found["dagster/table_name"] = output.name
    found |= schema_metadata(declarations, declaration, partition) | _ingest(publication)
    if lineage := lineage_of(declarations, declaration, partition):
        found["dagster/column_lineage"] = dg.TableColumnLineage(lineage)
    return found


def of_object(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the object of a frame or model says: rows per part, scores, parameters. Dagster plots the numbers."""
    found: dict[str, Any] = {f"rows/{part}": count for part, count in body["counts"].items()}
    for part, scores in body.get("scores", {}).items():
        found |= {f"{part}/{name}": float(value) for name, value in scores.items() if value is not None}
    for name, value in body.get("parameters", {}).items():
        found[f"parameter/{name}"] = value if isinstance(value, int | float | str | bool) else str(value)
    return found


def _outcome_word(outcome: Outcome) -> str:
    if isinstance(outcome, Unchanged):
        return "confirmed" if outcome.confirmed else "unchanged"
    return "published" if isinstance(outcome, Published) and outcome.recomputed else "judged anew"


def _ingest(publication: Publication) -> dict[str, Any]:
    """The files of a source."""
    ingest = publication.extra.get("ingest")
    if not ingest:
        return {}
    records = [dg.TableRecord(dict(file)) for file in ingest["files"]]
    return {"files": dg.MetadataValue.table(records), "ingested_at": ingest["at"]}


def schema_metadata(declarations: Declarations, declaration: Declaration, partition: Partition) -> dict[str, Any]:
    """Column schema, as far as the declaration has columns. Cheap: no expression is built for it."""
    if isinstance(declaration, Frame) and partition.feature_version:
        return {"dagster/column_schema": schema_of(declarations.frame_columns(declaration, partition.feature_version))}
    if isinstance(declaration, Split | FeatureView | Source):
        return {"dagster/column_schema": schema_of(declarations.contract(declaration).columns())}
    return {}


def lineage_of(
    declarations: Declarations, declaration: Declaration, partition: Partition
) -> dict[str, list[dg.TableColumnDep]]:
    """For each column the columns that it is made from; empty for what is no expression."""
    if isinstance(declaration, Frame):
        return _frame_lineage(declarations, declaration, partition)
    return _lineage(declarations, declaration) if isinstance(declaration, Split | FeatureView) else {}


def schema_of(columns: Sequence[Column]) -> dg.TableSchema:
    """Columns as Dagster shows them: type, nullability, description, constraints."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, other=[f"{name} {value}" for name, value in column.constraints.items()]
                ),
            )
            for column in columns
        ]
    )


def _lineage(
    declarations: Declarations, declaration: Split | FeatureView | Frame
) -> dict[str, list[dg.TableColumnDep]]:
    """For each column the source columns it is made from."""
    return {
        column: [_column_dep(f"sources/{name}") for name in found.value]
        for column, found in declarations.lineage(declaration).items()
        if found.value
    }


def _frame_lineage(
    declarations: Declarations, frame: Frame, partition: Partition
) -> dict[str, list[dg.TableColumnDep]]:
    """The spine's columns from sources, the values from their views, ``split`` from the split."""
    found = _lineage(declarations, frame)
    for ref in declarations.feature_versions[partition.feature_version or ""]:
        for value in declarations.view_values(ref):
            found[value] = [dg.TableColumnDep(asset_key=dg.AssetKey(["features", ref.name]), column_name=value)]
    found["split"] = [dg.TableColumnDep(asset_key=dg.AssetKey(["splits", frame.split]), column_name="split")]
    return found


def _column_dep(path: str) -> dg.TableColumnDep:
    """``sources/flights.arr_delay`` as Dagster's column dependency."""
    asset, _, column = path.rpartition(".")
    return dg.TableColumnDep(asset_key=dg.AssetKey(asset.split("/")), column_name=column)


def of_check(result: CheckResult, unit: Unit, refused: Refused | None, links: Links) -> dict[str, Any]:
    """Metadata of a check: counts per rule, failing rows as a table, the branch that was kept."""
    found: dict[str, Any] = {"unit": str(unit), "rows_failed": result.rows_failed}
    if result.not_applicable:
        found["not_applicable"] = result.not_applicable
    if result.counts:
        records = [dg.TableRecord({"rule": rule, "failed": count}) for rule, count in result.counts.items()]
        found["failed_per_rule"] = dg.MetadataValue.table(records)
    if result.examples:
        found["failing_rows"] = dg.MetadataValue.table(_records(result.examples))
    for name, value in result.figures.items():
        found[f"figures/{name}"] = value if isinstance(value, int | float | str | bool) else str(value)
    if refused:
        found["lakefs_branch"] = refused.branch.name
        found["lakefs_branch_link"] = links.branch(refused.branch.name)
    return found


def _records(rows: Sequence[Mapping[str, Any]]) -> list[dg.TableRecord]:
    """Rows as Dagster takes them: every row has every column, every cell is a scalar."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    scalars = (int, float, str, bool, type(None))
    return [
        dg.TableRecord({n: row.get(n) if isinstance(row.get(n), scalars) else str(row.get(n)) for n in names})
        for row in rows
    ]
