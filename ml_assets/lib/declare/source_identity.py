"""Identity of Python source: ``py1:``, a hash that changes when code does, not when comments, docstrings or layout do.

Covered are the function, what it uses of its own module, and the modules of the same package of declarations that any
of this imports, each as a whole, and so on. Not covered: decorators of the function (its declaration is part of recipe
or rules by itself), annotations, contracts (a tightened one recomputes nothing; names and types are passed in), the
machinery (`ml_assets.lib.core.recipe.SEMANTICS` covers it) and installed libraries (declare them).

The syntax tree is encoded here because `ast.dump` and `ast.unparse` change between releases of Python.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from ml_assets.lib.core.errors import NotIdentifiable
from ml_assets.lib.declare.where import of_function

PREFIX: Final = "py1"

_SKIPPED: Final = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx"}
"""Fields of a syntax node that do not change what it computes."""


def py1(function: Callable[..., Any], package: str, *, columns: Iterable[tuple[str, str]] = ()) -> str:
    """``py1:`` and 64 hexadecimal digits; equal for equal code on every machine and Python that the project supports.

    Args:
        function: A function at the top of its module.
        package: Dotted name of the package of declarations.
        columns: Names and types of the columns that it is asked for or given, where its declaration says so.

    Raises:
        NotIdentifiable: The source of the function or of a module cannot be found.
    """
    code = _Code(package)
    code.add_function(function)
    parts = [code.parts[place] for place in sorted(code.parts)]
    text = json.dumps([PREFIX, parts, list(columns)], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{PREFIX}:{hashlib.sha256(text.encode()).hexdigest()}"


class _Code:
    """Pieces of code, followed through names and imports.

    Attributes:
        parts: By module and line (0 for a whole module): the name of the module and the encoded piece.
    """

    def __init__(self, package: str) -> None:
        self.parts: dict[tuple[str, int], list[Any]] = {}
        self._package = package

    def add_function(self, function: Callable[..., Any]) -> None:
        """Add *function* and what it uses of its module.

        Raises:
            NotIdentifiable: It is not written at the top of a module.
        """
        module = function.__module__
        body = _parse(module).body
        for statement in body:
            if isinstance(statement, ast.FunctionDef) and _first_line(statement) == function.__code__.co_firstlineno:
                statement.decorator_list = []
                self._add(module, statement, body)
                return
        raise NotIdentifiable(
            f"{of_function(function)}: {function.__qualname__} is not written at the top of its module",
            remedy="write it with `def` at the top level of a file in defs",
        )

    def _add(self, module: str, statement: ast.stmt, body: list[ast.stmt]) -> None:
        """Add *statement* of *module*, and what it uses of the module's *body*, and so on."""
        place = (module, statement.lineno)
        if place in self.parts:
            return
        self.parts[place] = [module, _encode(statement)]
        self._add_imports(module, statement)
        names = _names(statement)
        for other in body:
            if _bound(other) & names:
                self._add(module, other, body)

    def _add_imports(self, module: str, tree: ast.AST) -> None:
        """Add each module of the package that *tree* imports, with what it imports itself."""
        for name in _imported(module, tree):
            if self._belongs(name) and (name, 0) not in self.parts and _has_code(name):
                parsed = _parse(name)
                self.parts[name, 0] = [name, _encode(parsed)]
                self._add_imports(name, parsed)

    def _belongs(self, module: str) -> bool:
        """Whether *module* is code of the package: a contract is none, what matters of it are names and types."""
        contracts = f"{self._package}.contracts"
        if module == contracts or module.startswith(f"{contracts}."):
            return False
        return module == self._package or module.startswith(f"{self._package}.")


def _has_code(name: str) -> bool:
    """Whether *name* is a module rather than something in one, or a folder without ``__init__.py``."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # what it would be in is no package
        return False
    return spec is not None and spec.origin is not None


def _parse(module: str) -> ast.Module:
    """The syntax tree of a module.

    Raises:
        NotIdentifiable: It is not a Python file.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise NotIdentifiable(f"the source of module {module} cannot be found", remedy="write it as a Python file")
    return ast.parse(Path(spec.origin).read_bytes())


def _first_line(function: ast.FunctionDef) -> int:
    """The line at which a function begins, as the compiler counts: with its first decorator."""
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def _names(tree: ast.AST) -> set[str]:
    """Names that *tree* mentions, annotations left out."""
    return {node.id for node in _walk(tree) if isinstance(node, ast.Name)}


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement at the top of a module gives a meaning to; of one that names nothing, those it acts on."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    stored = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    inner = [node for node in ast.walk(statement) if isinstance(node, ast.stmt) and node is not statement]
    return stored.union(*(_bound(node) for node in inner)) or _names(statement)


def _imported(module: str, tree: ast.AST) -> Iterator[str]:
    """Absolute names of what *tree*, a part of *module*, may import as modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, _package_of(module))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _package_of(module: str) -> str:
    """What relative imports of *module* are relative to."""
    spec = importlib.util.find_spec(module)
    return module if spec is not None and spec.submodule_search_locations else module.rpartition(".")[0]


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """*tree* and all nodes below it that decide what it computes."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name not in _SKIPPED:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)


def _encode(value: Any) -> Any:
    """A syntax tree as JSON; empty fields are left out, as later releases of Python add some."""
    if isinstance(value, ast.AST):
        fields = {
            name: item for name, item in ast.iter_fields(value) if name not in _SKIPPED and item not in (None, [])
        }
        if isinstance(value, ast.Constant):
            return ["Constant", type(value.value).__name__, repr(value.value)]
        if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            fields["body"] = list(_without_docstring(value.body))
        return [type(value).__name__, {name: _encode(item) for name, item in fields.items()}]
    if isinstance(value, list):
        return [_encode(item) for item in value]
    return value


def _without_docstring(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements other than texts that nobody reads."""
    for statement in body:
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield statement
