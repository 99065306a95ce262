"""Writes the generated parts of the documentation, so that what can be read off the code is never told from memory.

A part stands between two comments in any Markdown file we keep and names the function whose answer it is:

    <!-- made by package.module:function -->
    <!-- end -->

`make docs` writes all parts again; with `--check` nothing is written and a stale part is an error (a house test runs
this). The function takes no argument and returns Markdown.
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(
    r"^(?P<head><!-- made by (?P<module>[\w.]+):(?P<function>\w+) -->\n)(?P<body>.*?)(?P<end>^<!-- end -->$)",
    re.DOTALL | re.MULTILINE,
)


def written(text: str) -> str:
    """The text with each part made anew."""

    def part(match: re.Match[str]) -> str:
        make = getattr(importlib.import_module(match["module"]), match["function"])
        return f"{match['head']}{str(make()).strip()}\n{match['end']}"

    return PART.sub(part, text)


def decisions() -> str:
    """The list in docs/decisions/README.md: one line per page, from its first heading."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9][0-9][0-9][0-9]-*.md"))
    titles = [(page.name, page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for page in pages]
    return "\n".join(f"- [{title}]({name})" for name, title in titles)


def main(*, check: bool) -> int:
    """0 when every part is as the code would write it (or has just been written)."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    stale = []
    for page in (ROOT / name for name in listed.splitlines()):
        if not page.exists():
            continue
        before = page.read_text(encoding="utf-8")
        after = written(before)
        if after != before:
            stale.append(page.relative_to(ROOT).as_posix())
            if not check:
                page.write_text(after, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'is not what the code says; run `make docs`' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(check="--check" in sys.argv[1:]))
