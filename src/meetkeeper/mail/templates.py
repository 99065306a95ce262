"""The words of a mail: shipped Jinja templates, each of which a folder of the user's may replace.

A template sees the fields of `core.invitation.Invitation` by name (`title`, `when`, `join` …), is sandboxed and must
name only what exists. Rule of this file: a user's broken template never loses a mail. The shipped one is used in its
place, and `Templates.problems` says which file and line is wrong, for logs, `config check` and the preview.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jinja2
from jinja2.sandbox import SandboxedEnvironment
from msgspec import Struct

from meetkeeper.core.invitation import Invitation, one_line

SHIPPED = Path(__file__).with_name("templates")
SUBJECT_CHARS_MAX = 200
"""A subject longer than this is cut: the whole title stands in the body."""
BODY_CHARS_MAX = 200_000
"""Longest body a template may write; one that runs away counts as broken."""

Template = Literal["invitation", "cancellation"]
Part = Literal["subject", "txt", "html"]
TEMPLATES: tuple[Template, ...] = ("invitation", "cancellation")
PARTS: tuple[Part, ...] = ("subject", "txt", "html")


class Problem(Struct, frozen=True, gc=False):
    """What is wrong with a user's template: file, line (0 when unknown) and a sentence."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.what} The shipped template is used until it is mended."


class Rendered(Struct, frozen=True, gc=False):
    """A mail in words: one line of subject, and the body as text and as HTML."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of one configuration. `folder` is `config.mail.templates`; empty: the shipped ones alone."""

    def __init__(self, folder: str = "") -> None:
        self._folder = Path(folder) if folder else None
        self._shipped = _environment(SHIPPED)
        self._own = None if self._folder is None else _environment(self._folder)
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the user's templates, one per file, as far as they have been used."""
        return tuple(self._problems[name] for name in sorted(self._problems))

    def render(self, invitation: Invitation) -> Rendered:
        """The mail in words. Never fails for a user's template: see `problems`."""
        which: Template = "cancellation" if invitation.cancelled else "invitation"
        values = _values(invitation)
        subject = one_line(self._part(which, "subject", values))
        if len(subject) > SUBJECT_CHARS_MAX:
            subject = subject[: SUBJECT_CHARS_MAX - 1].rstrip() + "…"
        return Rendered(subject, self._part(which, "txt", values), self._part(which, "html", values))

    def _part(self, which: Template, part: Part, values: Mapping[str, object]) -> str:
        name = f"{which}.{part}"
        if self._own is not None and self._folder is not None:
            try:
                text = _render(self._own, name, values)
            except jinja2.TemplateNotFound as missing:
                if missing.name != name:
                    self._report(name, Problem(str(self._folder / name), 0, f"It asks for {missing.name}."))
            except _BROKEN as error:
                self._report(name, _problem_of(self._folder, name, error))
            else:
                self._problems.pop(name, None)
                return text
        return _render(self._shipped, name, values)

    def _report(self, name: str, problem: Problem) -> None:
        self._problems[name] = problem


_BROKEN = (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, OSError)
"""What a template can raise: its own errors, and those of the expressions in it."""


def _environment(folder: Path) -> SandboxedEnvironment:
    return SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def _values(invitation: Invitation) -> dict[str, object]:
    return {name: getattr(invitation, name) for name in (*Invitation.__struct_fields__, "cancelled")}


def _render(environment: SandboxedEnvironment, name: str, values: Mapping[str, object]) -> str:
    size, pieces = 0, []
    for piece in environment.get_template(name).generate(values):
        size += len(piece)
        if size > BODY_CHARS_MAX:
            raise ValueError(f"it writes more than {BODY_CHARS_MAX:,} characters")
        pieces.append(piece)
    return "".join(pieces)


def _problem_of(folder: Path, name: str, error: Exception) -> Problem:
    what = f"{type(error).__name__}: {error}."
    return Problem(str(folder / name), getattr(error, "lineno", None) or 0, what)
