"""The words of the mails: shipped ones as reviewed, a user's own in their place, and no mail lost to a broken one."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.core.configuration import MailConfig
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.invitation import Invitation, Kind
from meetkeeper.core.words import Person
from meetkeeper.mail.preview import check_templates, preview, sample
from meetkeeper.mail.templates import BODY_CHARS_MAX, PARTS, SHIPPED, TEMPLATES, Templates
from tests.mail import golden
from tests.mail.samples import CONFIG

PLAIN = Templates()
INVITATION = sample(CONFIG, Kind.NEW)


@pytest.mark.parametrize("name", sorted(golden.texts()))
def test_shipped_words_are_as_reviewed(name: str) -> None:
    """What the shipped templates write is what stands in the golden file of this name."""
    kept = (golden.FOLDER / name).read_text(encoding="utf-8")
    assert golden.texts()[name] == kept, "if it was meant: python -m tests.mail.golden --rewrite"


def test_no_golden_file_is_left_over() -> None:
    """Every golden file is compared with something."""
    assert {path.name for path in golden.FOLDER.iterdir()} == set(golden.texts())


@pytest.mark.parametrize("kind", list(Kind))
def test_html_loads_nothing_and_runs_nothing(kind: Kind) -> None:
    """No image, script, form, font or frame: a mail that calls home is a mail in the junk folder."""
    html = preview(CONFIG, kind).mail.html
    assert not re.search(
        r"<(?:img|script|link|form|iframe|object|video)\b|@import|url\(|\son\w+=", html, re.I
    )
    assert all(
        href.startswith(("https://meet.example/", "mailto:")) for href in re.findall(r'href="([^"]*)"', html)
    )


@pytest.mark.parametrize("kind", [Kind.NEW, Kind.MOVED, Kind.CHANGED])
def test_the_door_comes_first_and_the_pin_is_seen(kind: Kind) -> None:
    """Address and PIN stand before anything else there is to read, in both bodies."""
    mail = preview(CONFIG, kind).mail
    for body in (mail.text, re.sub(r"(?s)^.*?<h1", "", mail.html)):
        door, pin, when = body.index("/join/"), body.index("314159"), body.index("Where")
        assert door < pin < when


def test_time_is_said_in_the_zone_and_in_utc() -> None:
    """Both bodies name the zone, its offset and the time in UTC."""
    mail = preview(CONFIG).mail
    for body in (mail.text, mail.html):
        assert "Europe/Oslo, UTC+02:00" in body
        assert "08:00–09:00 UTC" in body


def test_a_meeting_in_utc_says_it_once() -> None:
    """Where the meeting's own zone is UTC, the same time is not told twice."""
    utc = msgspec.structs.replace(CONFIG, cluster=msgspec.structs.replace(CONFIG.cluster, time_zone="UTC"))
    assert preview(utc).mail.text.count("10:00–11:00") == 1


HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7*7 }}",
        "{% raw %}",
        "</style>",
        "&lt;b&gt;",
    ]
)


@given(title=HOSTILE, room=HOSTILE, organizer=HOSTILE, description=HOSTILE)
@settings(max_examples=60)
def test_values_are_never_markup(title: str, room: str, organizer: str, description: str) -> None:
    """Whatever a title, room, name or description says, the HTML has the elements of the template and no others."""
    plain = PLAIN.render(_with("x", "x", "x", "x")).html
    hostile = PLAIN.render(_with(title or "x", room or "x", organizer or "x", description or "x")).html
    assert re.findall(r"<(?!br)[/a-z!][^>]*>", hostile) == re.findall(r"<(?!br)[/a-z!][^>]*>", plain)


def _with(title: str, room: str, organizer: str, description: str) -> Invitation:
    return msgspec.structs.replace(
        INVITATION,
        title=title,
        where=(room,),
        organizer=Person("kari.nordmann@example.com", organizer),
        description=description,
    )


# --- a user's own ----------------------------------------------------------------------------------------------------


def test_a_users_file_goes_before_the_shipped_one(tmp_path: Path) -> None:
    """One file in the user's folder replaces one shipped file; the others stay."""
    (tmp_path / "invitation.txt").write_text(
        "Come to {{ title }}: {{ join.url }} {{ join.pin }}", encoding="utf-8"
    )
    own, shipped = Templates(str(tmp_path)), Templates()
    mail = own.render(INVITATION)
    assert (
        mail.text
        == "Come to Planning the summer: dates & places: https://meet.example/join/sample0000 314159\n"
    )
    assert mail.html == shipped.render(INVITATION).html
    assert own.problems == ()


def test_a_users_file_may_build_on_the_shipped_one(tmp_path: Path) -> None:
    """Changing one line of the HTML does not mean copying it: blocks of the shipped template can be replaced."""
    (tmp_path / "invitation.html").write_text(
        '{% extends "shipped/invitation.html" %}{% block footer %}Firm & Sons{% endblock %}', encoding="utf-8"
    )
    mail = Templates(str(tmp_path)).render(INVITATION)
    assert "Firm & Sons" in mail.html
    assert "Join the meeting" in mail.html


def test_a_users_html_is_escaped_too(tmp_path: Path) -> None:
    """A user's HTML template gets values escaped without asking."""
    (tmp_path / "invitation.html").write_text("<b>{{ title }}</b>", encoding="utf-8")
    told = msgspec.structs.replace(INVITATION, title="<i>")
    assert Templates(str(tmp_path)).render(told).html == "<b>&lt;i&gt;</b>\n"


@pytest.mark.parametrize(
    ("broken", "line", "what"),
    [
        ("one\n{% if title %}\nthree\n", 3, "TemplateSyntaxError"),
        ("one\n\n{{ titel }}", 3, "'titel' is undefined"),
        ("{{ join.pinn }}", 1, "pinn"),
        ("one\n{{ 1 / 0 }}", 2, "ZeroDivisionError"),
        ("one\n{{ title + 1 }}", 2, "TypeError"),
        ("{{ title.__class__.__mro__ }}", 1, "unsafe"),
        ("{% for i in range(99999) %}{{ title }}{% endfor %}", 0, f"{BODY_CHARS_MAX:,}"),
        ('{% include "elsewhere.txt" %}', 1, "elsewhere.txt"),
        ("{% include 'invitation.txt' %}", 1, "Recursion"),
    ],
)
def test_a_broken_template_never_loses_a_mail(tmp_path: Path, broken: str, line: int, what: str) -> None:
    """The shipped words go out, and the problem names file, line and cause."""
    path = tmp_path / "invitation.txt"
    path.write_text(broken, encoding="utf-8")
    own = Templates(str(tmp_path))
    assert own.render(INVITATION) == Templates().render(INVITATION)
    (problem,) = own.problems
    assert problem.file == str(path)
    assert problem.line == line
    assert what in problem.what
    assert str(problem).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_a_template_that_is_no_text_never_loses_a_mail(tmp_path: Path) -> None:
    """A file in another encoding is reported like any other fault."""
    (tmp_path / "cancellation.html").write_bytes(b"\xff\xfe\x00")
    own = Templates(str(tmp_path))
    assert own.render(sample(CONFIG, Kind.CANCELLED)) == Templates().render(sample(CONFIG, Kind.CANCELLED))
    assert own.problems[0].file.endswith("cancellation.html")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    """The folder may be missing on the server that has just become active: the mails go out all the same."""
    own = Templates(str(tmp_path / "gone"))
    assert own.render(INVITATION) == Templates().render(INVITATION)
    assert "no such folder" in str(own.problems[0])


def test_a_mended_template_is_used_at_once(tmp_path: Path) -> None:
    """No restart is needed, and the problem is forgotten."""
    path = tmp_path / "invitation.subject"
    path.write_text("{{ nobody }}", encoding="utf-8")
    own = Templates(str(tmp_path))
    own.render(INVITATION)
    assert own.problems
    path.write_text("Come: {{ title }}\nBcc: evil@x.example", encoding="utf-8")
    assert own.render(INVITATION).subject == "Come: Planning the summer: dates & places Bcc: evil@x.example"
    assert own.problems == ()


def test_a_template_file_outside_the_folder_is_out_of_reach(tmp_path: Path) -> None:
    """A template can't include a file from elsewhere on the disk."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "invitation.txt").write_text('{% include "../secret.txt" %}', encoding="utf-8")
    own = Templates(str(folder))
    assert "secret" not in own.render(INVITATION).text
    assert own.problems


# --- preview ---------------------------------------------------------------------------------------------------------


def test_every_shipped_template_is_there() -> None:
    """Two templates with three parts each."""
    assert all((SHIPPED / f"{template}.{part}").is_file() for template in TEMPLATES for part in PARTS)


def test_a_preview_of_an_unknown_kind_names_the_known_ones() -> None:
    """A slip of the pen is answered with what can be said."""
    with pytest.raises(TheirMistake, match="new, moved, changed, cancelled, uninvited"):
        preview(CONFIG, "invitation")


def test_checking_templates_tries_every_kind(tmp_path: Path) -> None:
    """A fault that only a moved meeting would meet is found before anybody moves one."""
    (tmp_path / "invitation.txt").write_text(
        "{% if kind == 'moved' %}{{ nope }}{% endif %}", encoding="utf-8"
    )
    config = msgspec.structs.replace(CONFIG, mail=MailConfig(templates=str(tmp_path)))
    assert preview(config, "new").problems == ()
    assert len(check_templates(config)) == 1
    assert check_templates(CONFIG) == ()
