"""The words of a mail: shipped Jinja templates, each of which a folder of the user's may replace.

A template sees the fields of `core.invitation.Invitation` by name (`title`, `when`, `join` …), is sandboxed and may
only name what exists. A user's file of the same name goes before the shipped one, and may build on it:
`{% extends "shipped/invitation.html" %}`. Rule of this file: a user's broken template never loses a mail. The shipped
one is used in its place, and the log and `Templates.problems` say which file and line is wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from traceback import extract_tb
from typing import Literal

import jinja2
import structlog
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

_BROKEN = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a template can raise: its own errors, and those of the expressions in it."""
_log = structlog.get_logger()


class Problem(Struct, frozen=True, gc=False):
    """What is wrong with a user's template: file, line (0 when unknown) and what was said about it."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.what} The shipped template is used until this is mended."


class Rendered(Struct, frozen=True, gc=False):
    """A mail in words: one line of subject, and the body as text and as HTML."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of one configuration. `folder` is `config.mail.templates`; empty: the shipped ones alone."""

    def __init__(self, folder: str = "") -> None:
        self._folder = Path(folder) if folder else None
        self._shipped = _environment(None)
        self._own = None if self._folder is None else _environment(self._folder)
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the user's templates, at most one for each file, as far as they have been used."""
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
        own = self._own_part(name, values)
        return own if own is not None else _render(self._shipped, f"shipped/{name}", values)

    def _own_part(self, name: str, values: Mapping[str, object]) -> str | None:
        """What the user's template writes; None without one, or with a broken one."""
        if self._own is None or self._folder is None:
            return None
        if not self._folder.is_dir():
            self._report("", Problem(str(self._folder), 0, "There is no such folder."))
            return None
        try:
            text = _render(self._own, name, values)
        except _BROKEN as error:
            missing = isinstance(error, jinja2.TemplateNotFound) and error.name == name
            self._report(name, None if missing else _problem_of(self._folder, name, error))
            return None
        self._report(name, None)
        return text

    def _report(self, name: str, problem: Problem | None) -> None:
        """Remember what is wrong with a file, or that nothing is any more; tell the log what is new."""
        if problem is None:
            self._problems.pop(name, None)
        elif self._problems.get(name) != problem:
            self._problems[name] = problem
            _log.warning("mail.template", file=problem.file, line=problem.line, what=problem.what)


def _environment(own: Path | None) -> SandboxedEnvironment:
    shipped = jinja2.PrefixLoader({"shipped": jinja2.FileSystemLoader(SHIPPED)})
    return SandboxedEnvironment(
        loader=shipped if own is None else jinja2.ChoiceLoader([shipped, jinja2.FileSystemLoader(own)]),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
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
    return "".join(pieces).strip() + "\n"


def _problem_of(folder: Path, name: str, error: BaseException) -> Problem:
    """File and line of an error: from the error when it is about syntax, else from where it was raised."""
    what = one_line(f"{type(error).__name__}: {error}").rstrip(".") + "."
    if isinstance(error, jinja2.TemplateSyntaxError):
        return Problem(error.filename or str(folder / name), error.lineno, what)
    for frame in reversed(extract_tb(error.__traceback__)):
        if Path(frame.filename).parent in (folder, SHIPPED):
            return Problem(frame.filename, frame.lineno or 0, what)
    return Problem(str(folder / name), 0, what)
