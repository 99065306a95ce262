"""Errors are caught by name; only the four outermost rooms may catch whatever comes."""

import ast

from tests.house.source import product_files, shown, tree_of

CATCH_ALLS = {
    "src/meetkeeper/api/app.py": "top of a request: answered as problem+json, told to the log",
    "src/meetkeeper/app/main.py": "top of the process: said in words, exit code not zero",
    "src/meetkeeper/cli/main.py": "top of a command: said in words, exit code not zero",
    "src/meetkeeper/engine/loop.py": "top of a task: the server drops its role and stops",
}
EVERYTHING = {"Exception", "BaseException"}


def test_only_the_named_files_catch_everything() -> None:
    """`except Exception`, a bare `except` and `suppress(Exception)` stand in four files alone."""
    found = [
        f"{shown(path)}:{line}"
        for path in product_files()
        if shown(path) not in CATCH_ALLS
        for line in _catch_alls(tree_of(path))
    ]
    assert not found, "\n".join(found)


def _catch_alls(tree: ast.Module) -> list[int]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler | ast.Call)]
    return [node.lineno for node in nodes if _catches_everything(node)]


def _catches_everything(node: ast.ExceptHandler | ast.Call) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return node.type is None or bool(_names(node.type) & EVERYTHING)
    return "suppress" in _names(node.func) and any(_names(argument) & EVERYTHING for argument in node.args)


def _names(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Tuple):
        return set().union(*map(_names, node.elts))
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return {node.id} if isinstance(node, ast.Name) else set()
