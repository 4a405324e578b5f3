"""Unit tests, one by one."""

from __future__ import annotations

import ast
from dataclasses import dataclass

_PREPARES = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign)


@dataclass(frozen=True)
class Unit:
    """A statement, or a call of a test function."""

    source: bytes
    """UTF-8."""
    line: int
    """Its first line's number."""
    counts: bool
    """Whether it is a test; else it prepares."""


def units(tests: str) -> list[Unit]:
    """The statements of some tests, then a call of each function among them that is named ``test…``.

    Imports, definitions, assignments and bare constants only prepare; every other statement is a test.

    Raises:
        SyntaxError: it is no Python.
    """
    try:
        body = ast.parse(tests).body
    except (ValueError, RecursionError, MemoryError) as e:  # null bytes, nested too deeply
        raise SyntaxError(str(e) or type(e).__name__) from e
    lines = tests.replace("\r\n", "\n").replace("\r", "\n").encode().split(b"\n")
    functions = [s for s in body if isinstance(s, ast.FunctionDef) and s.name.startswith("test")]
    return [_unit(lines, s) for s in body] + [Unit(f"{f.name}()".encode(), f.lineno, True) for f in functions]


def _unit(lines: list[bytes], statement: ast.stmt) -> Unit:
    decorators = getattr(statement, "decorator_list", [])  # a definition's own place is without them
    first, start = (decorators[0].lineno, 0) if decorators else (statement.lineno, statement.col_offset)
    assert statement.end_lineno is not None
    own = lines[first - 1 : statement.end_lineno]
    own[-1] = own[-1][: statement.end_col_offset]
    own[0] = own[0][start:]
    bare = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return Unit(b"\n".join(own), first, not (bare or isinstance(statement, _PREPARES)))
