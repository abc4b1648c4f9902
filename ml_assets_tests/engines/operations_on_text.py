"""The table of operations: text."""

# ruff: noqa: PLW0108 (the arguments of each lambda name the columns that it reads)

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Final

import ibis

from ml_assets_tests.engines.operation_rows import INF, Case, Undefined, defined, known, raw, whole


def _numeral(s: str) -> float:
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", s):
        return float(s)
    raise Undefined


TEXT: Final = {
    "text upper": Case("texts", lambda t: t.s.upper(), known(lambda s: s.upper())),
    "text lower": Case("texts", lambda t: t.s.lower(), known(lambda s: "".join(c.lower() for c in s))),
    "text length": Case("texts", lambda t: t.s.length(), known(lambda s: len(s))),
    "text substr": Case("texts", lambda t: t.s.substr(1, 2), known(lambda s: s[1:3])),
    "text substr open": Case("texts", lambda t: t.s.substr(1), known(lambda s: s[1:])),
    "text substr computed": Case(
        "texts", lambda t: t.s.substr(t.s.find("a") + 1, 1), known(lambda s: s[s.find("a") + 1 :][:1])
    ),
    "text slice": Case("texts", lambda t: t.s[1:3], known(lambda s: s[1:3])),
    "text slice open": Case("texts", lambda t: t.s[1:], known(lambda s: s[1:])),
    "text slice from start": Case("texts", lambda t: t.s[:2], known(lambda s: s[:2])),
    "text item": Case("texts", lambda t: t.s[0], known(lambda s: s[:1])),
    "text left": Case("texts", lambda t: t.s.left(2), known(lambda s: s[:2])),
    "text right": Case("texts", lambda t: t.s.right(2), known(lambda s: s[-2:])),
    "text strip": Case("texts", lambda t: t.s.strip(), known(lambda s: s.strip())),
    "text lstrip": Case("texts", lambda t: t.s.lstrip(), known(lambda s: s.lstrip())),
    "text rstrip": Case("texts", lambda t: t.s.rstrip(), known(lambda s: s.rstrip())),
    "text contains": Case("texts", lambda t: t.s.contains(t.p), known(lambda s, p: p in s)),
    "text startswith": Case("texts", lambda t: t.s.startswith(t.p), known(lambda s, p: s.startswith(p))),
    "text endswith": Case("texts", lambda t: t.s.endswith(t.p), known(lambda s, p: s.endswith(p))),
    "text find": Case("texts", lambda t: t.s.find(t.p), known(lambda s, p: s.find(p))),
    "text replace": Case("texts", lambda t: t.s.replace("a", "\\$1"), known(lambda s: s.replace("a", "\\$1"))),
    "text +": Case("texts", lambda t: t.s + t.p, known(lambda s, p: s + p)),
    "text + literal": Case("texts", lambda t: t.s + "|" + t.p, known(lambda s, p: f"{s}|{p}")),
    "text *": Case("texts", lambda t: t.s * 2, known(lambda s: s * 2)),
    "text join": Case(
        "texts",
        lambda t: ibis.literal(",").join([t.s, t.p]),
        raw(lambda s, p: ",".join(v for v in (s, p) if v is not None)),
    ),
    "text <": Case("texts", lambda t: t.s < t.p, known(lambda s, p: s < p)),
    "text ==": Case("texts", lambda t: t.s == t.p, known(lambda s, p: s == p)),
    "text greatest": Case(
        "texts",
        lambda t: ibis.greatest(t.s, t.p),
        raw(lambda s, p: max((v for v in (s, p) if v is not None), default=None)),
    ),
    "text like": Case(
        "texts", lambda t: t.s.like("a_b"), known(lambda s: re.fullmatch("a.b", s, re.DOTALL) is not None)
    ),
    "text like %": Case("texts", lambda t: t.s.like("%a%"), known(lambda s: "a" in s)),
    "text like backslash": Case("texts", lambda t: t.s.like("a\\b"), known(lambda s: s == "a\\b")),
    "text like any": Case("texts", lambda t: t.s.like(["a%", "_"]), known(lambda s: s.startswith("a") or len(s) == 1)),
    "text lpad": Case("texts", lambda t: t.s.lpad(4, "*"), known(lambda s: s.rjust(4, "*"))),
    "text rpad": Case("texts", lambda t: t.s.rpad(4, "*"), known(lambda s: s.ljust(4, "*"))),
    "text search": Case(
        "texts", lambda t: t.s.re_search("^a.b|B$"), known(lambda s: re.search(r"^a.b|B\Z", s) is not None)
    ),
    "text search classes": Case(
        "texts",
        lambda t: t.s.re_search(r"\s\w"),
        known(lambda s: re.search(r"[\t\n\f\r\v ][0-9A-Za-z_]", s) is not None),
    ),
    "text search word": Case(
        "texts", lambda t: t.s.re_search(r"\ba\b"), known(lambda s: re.search(r"\ba\b", s, re.ASCII) is not None)
    ),
    "text search not a digit": Case(
        "texts", lambda t: t.s.re_search(r"^\D+$"), known(lambda s: re.search(r"^[^0-9]+\Z", s) is not None)
    ),
    "text extract": Case(
        "texts",
        lambda t: t.s.re_extract("([a-z])([A-Z.%])", 2),
        known(lambda s: m[2] if (m := re.search("([a-z])([A-Z.%])", s)) else None),
    ),
    "text extract all": Case(
        "texts",
        lambda t: t.s.re_extract("[a-z]+", 0),
        known(lambda s: m[0] if (m := re.search("[a-z]+", s)) else None),
    ),
    "text replace pattern": Case(
        "texts", lambda t: t.s.re_replace("([a-z])", r"<\1$>"), known(lambda s: re.sub("([a-z])", r"<\1$>", s))
    ),
    "text md5": Case("texts", lambda t: t.s.hexdigest("md5"), known(lambda s: hashlib.md5(s.encode()).hexdigest())),
    "text sha256": Case(
        "texts", lambda t: t.s.hexdigest("sha256"), known(lambda s: hashlib.sha256(s.encode()).hexdigest())
    ),
    "text fill": Case("texts", lambda t: t.s.fill_null("?"), raw(lambda s: "?" if s is None else s)),
    "text isin": Case("texts", lambda t: t.s.isin(["a", "ß"]), known(lambda s: s in ("a", "ß"))),
    "text to int64": Case(
        "numerals",
        lambda t: t.s.cast("int64"),
        known(lambda s: whole(int(s) if re.fullmatch("[+-]?[0-9]+", s) else INF)),
    ),
    "text to int32": Case(
        "numerals",
        lambda t: t.s.cast("int32"),
        known(lambda s: whole(int(s) if re.fullmatch("[+-]?[0-9]+", s) else INF, 32)),
    ),
    "text to real": Case("numerals", lambda t: t.s.cast("float64"), known(lambda s: _numeral(s))),
    "text to day": Case(
        "numerals",
        lambda t: t.s.cast("date"),
        known(
            lambda s: defined(
                lambda: date.fromisoformat(s) if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", s) else int("no")
            )
        ),
    ),
}
