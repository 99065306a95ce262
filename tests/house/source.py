"""The checkout as the house tests see it: which files there are and what their Python says."""

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "meetkeeper"


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file; parsed once per run."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def product_files() -> list[Path]:
    """Every Python file that is shipped."""
    return sorted(PACKAGE.rglob("*.py"))


def files_with_tests() -> list[Path]:
    """Every Python file that holds tests, the shipped contract suites among them."""
    return sorted([*(ROOT / "tests").rglob("*.py"), *(PACKAGE / "testing").rglob("*.py")])


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Name and text of every file git keeps that is text and ours (not vendored)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if "/vendor/" in name or not path.is_file():
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def shown(path: Path) -> str:
    """A path as a person names it: from the checkout's root."""
    return path.relative_to(ROOT).as_posix()
