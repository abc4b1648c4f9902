"""What is wrong with an expression or a rule: found by building it on unbound tables, which computes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError, DuplicateName, UnknownUpstream
from ml_assets.lib.core.names import SPLIT
from ml_assets.lib.declare.checks import RESERVED
from ml_assets.lib.declare.declarations import Declaration, FeatureView, Frame, Source, Split
from ml_assets.lib.declare.knowledge import mistakes_of_knowledge

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.declare.registry import Declarations

_CHECK_NAME = re.compile(r"[A-Za-z0-9_]+")


def mistakes_of_expression(declarations: Declarations, decl: Split | FeatureView | Frame) -> Iterator[DeclarationError]:
    """What is wrong with the expression of *decl*, whose upstream tables are known to exist."""
    from ml_assets.lib.declare.determinism import require_deterministic
    from ml_assets.lib.declare.identity import expr1
    from ml_assets.lib.declare.meaning import require_one_meaning

    try:
        expression = declarations.expression(decl)
        expr1(expression)
        require_one_meaning(expression)
        if decl.deterministic:
            unique = {name: declarations.sources[name].contract.unique() for name in decl.parameters}
            require_deterministic(expression, unique)
    except DeclarationError as error:
        yield type(error)(f"{decl.place}: {error.problem}", remedy=error.remedy)
        return
    found = [*_tables(declarations, decl, expression), *_columns(declarations, decl, expression)]
    if not found and isinstance(decl, Split):
        found += _parts(declarations, decl, expression)
    yield from found
    if not found:
        yield from mistakes_of_knowledge(declarations, decl, expression)
        yield from mistakes_of_rule_expressions(declarations, decl)


def _tables(
    declarations: Declarations, decl: Split | FeatureView | Frame, expression: ir.Table
) -> Iterator[DeclarationError]:
    """Tables that *expression* reads and that are no parameter of the function: they have no rows."""
    import ibis.expr.operations as ops

    given = {name: declarations.sources[name].contract.ibis_schema() for name in decl.parameters}
    read = expression.op().find(ops.UnboundTable)
    if other := sorted({table.name for table in read if given.get(table.name) != table.schema}):
        yield UnknownUpstream(
            f"{decl.place}: the expression reads {', '.join(other)}, which the function is not given",
            remedy="take the source as a parameter of the function instead of making a table",
        )


def _columns(
    declarations: Declarations, decl: Split | FeatureView | Frame, expression: ir.Table
) -> Iterator[DeclarationError]:
    """Where names and types of *expression* differ from those that *decl* promises."""
    from ml_assets.lib.declare.audit import same_type

    contract = declarations.contract(decl)
    promised = [column for column in contract.columns() if not (isinstance(decl, Frame) and column.name == SPLIT)]
    found = dict(expression.schema().items())
    missing = [column.name for column in promised if column.name not in found]
    extra = [name for name in found if name not in {column.name for column in promised}]
    wrong = [column for column in promised if column.name in found and not same_type(found[column.name], column.type)]
    if isinstance(decl, Split):
        remedy = f"give exactly ({decl.key}, {SPLIT}), {SPLIT} as text"
    else:
        remedy = f"correct the expression or {contract.__name__} ({contract.where})"
    if missing or extra:
        said = [f"{what} {', '.join(names)}" for what, names in (("lacks", missing), ("also has", extra)) if names]
        yield ContractMismatch(f"{decl.place}: the expression {' and '.join(said)}", remedy=remedy)
    for column in wrong:
        yield ContractMismatch(
            f"{decl.place}: column {column.name!r} is {found[column.name]} in the expression, "
            f"{column.type} in the contract",
            remedy=f"{remedy}; .cast({column.type!r}) converts",
        )


def _parts(declarations: Declarations, split: Split, expression: ir.Table) -> Iterator[DeclarationError]:
    """Rows that get a part without having been asked, because what the part depends on may be null."""
    from ml_assets.lib.declare.nulls import undecided

    def nullable(table: str, column: str) -> bool:
        columns = declarations.sources[table].contract.columns()
        return next(found.nullable for found in columns if found.name == column)

    if columns := undecided(expression, SPLIT, nullable):
        yield ContractMismatch(
            f"{split.place}: {SPLIT} depends on {', '.join(columns)}, which may be null: such a row is in no part, "
            "or in that of the last case",
            remedy="say what a null means: fill it (.fill_null), give it a first case (column.isnull()), or filter it",
        )


def mistakes_of_rules(decl: Declaration) -> Iterator[DeclarationError]:
    """Names of rules, and tables that they compare with."""
    names: set[str] = set()
    for rule in decl.rules:
        if not _CHECK_NAME.fullmatch(rule.name):
            yield DeclarationError(
                f"{decl.place} has a rule of name {rule.name!r} ({rule.where})", remedy="use letters, digits and '_'"
            )
        if rule.name in RESERVED:
            yield DuplicateName(
                f"{decl.place} has a rule of name {rule.name!r} ({rule.where}), which is that of a built-in check",
                remedy="give the rule another name",
            )
        if rule.name in names:
            yield DuplicateName(
                f"{decl.place} has two checks of name {rule.name!r} ({rule.where})", remedy="give the rule another name"
            )
        names.add(rule.name)
        known = decl.parameters if isinstance(decl, Split | FeatureView) else ()
        for name in rule.upstream:
            if name not in known:
                yield UnknownUpstream(
                    f"{decl.place}: rule {rule.name!r} ({rule.where}) compares with {name!r}, which is not upstream",
                    remedy=f"of a split or view, take {name} as a parameter of the function; "
                    "a rule of a source or frame sees its own table only",
                )


def mistakes_of_rule_expressions(
    declarations: Declarations, decl: Source | Split | FeatureView | Frame
) -> Iterator[DeclarationError]:
    """Rules that cannot be built on the columns of the table."""
    known = [
        version
        for version, refs in declarations.feature_versions.items()
        if all((ref.name, ref.version) in declarations.views for ref in refs)
    ]
    for version in known if isinstance(decl, Frame) else [None]:
        try:
            declarations.rules_hash(decl, version)
        except DeclarationError as error:
            yield type(error)(f"{decl.place}: {error.problem}", remedy=error.remedy)
            return
