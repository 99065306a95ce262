"""Every file says what it is for, and every test which property it holds."""

import ast

from tests.house.source import files_with_tests, functions_of, product_files, shown, tree_of


def test_every_module_says_what_it_is_for() -> None:
    """A module, shipped or test, begins with a docstring."""
    silent = [
        shown(path)
        for path in sorted({*product_files(), *files_with_tests()})
        if not ast.get_docstring(tree_of(path))
    ]
    assert not silent, "\n".join(silent)


def test_every_test_says_its_property_in_one_sentence() -> None:
    """A test has a docstring of one paragraph that ends like a sentence."""
    wrong = []
    for path in files_with_tests():
        for node in functions_of(tree_of(path)):
            if not node.name.startswith("test_"):
                continue
            said = (ast.get_docstring(node) or "").strip()
            if not said.endswith((".", "!", "?")) or "\n\n" in said:
                wrong.append(f"{shown(path)}:{node.lineno} {node.name}")
    assert not wrong, "\n".join(wrong)
