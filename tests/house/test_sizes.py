"""A reader can hold each piece in mind: the house rules in numbers."""

import ast

from tests.house.source import PACKAGE, functions_of, product_files, shown, tree_of

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
PURE_FILE_LINES_MAX = 500
POSITIONAL_PARAMETERS_MAX = 5
PURE_FLOORS = {"core", "ha", "codec"}


def test_no_function_is_longer_than_a_screen() -> None:
    """A function has at most 70 lines, its docstring included."""
    long = [
        f"{shown(path)}:{node.lineno} {node.name}: {length} lines"
        for path in product_files()
        for node in functions_of(tree_of(path))
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_no_file_outgrows_its_floor() -> None:
    """A file has at most 500 lines on a pure floor and 600 elsewhere."""
    long = []
    for path in product_files():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        pure = path.relative_to(PACKAGE).parts[0] in PURE_FLOORS
        if lines > (PURE_FILE_LINES_MAX if pure else FILE_LINES_MAX):
            long.append(f"{shown(path)}: {lines} lines")
    assert not long, "\n".join(long)


def test_no_function_takes_a_long_row_of_arguments() -> None:
    """A function takes at most five arguments by position; more are named or become a record."""
    wide = [
        f"{shown(path)}:{node.lineno} {node.name}: {count} positional parameters"
        for path in product_files()
        for node in functions_of(tree_of(path))
        if (count := _positional(node.args)) > POSITIONAL_PARAMETERS_MAX
    ]
    assert not wide, "\n".join(wide)


def _positional(arguments: ast.arguments) -> int:
    names = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
    return len(names) - (names[:1] in (["self"], ["cls"]))
