"""Writing how to join into somebody else's item: the body alone changes, and reading it back gives the same item."""

import html
import textwrap
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.identity import fingerprint
from meetkeeper.core.joinblock import (
    JoinBlock,
    block_of,
    html_with_block,
    html_without_block,
    with_block,
    without_block,
)
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.annotating import annotated, would_mail
from meetkeeper.itemtext.lines import ITEM_BYTES_MAX, Unreadable
from meetkeeper.itemtext.reading import read_item
from meetkeeper.itemtext.texts import plain_description
from tests.calendars.texts import calendar, event

BLOCK = block_of("abc123", [("Join", "https://meet.example/join/abc123?x=1&y=<2>"), ("PIN", "123456")])
OTHER = block_of("abc123", [("", "How to join follows.")])
RICH = calendar(
    "X-WR-CALNAME:æøå",
    event(
        "DTSTART;TZID=Europe/Oslo:20261201T100000",
        "DTEND;TZID=Europe/Oslo:20261201T110000",
        "SUMMARY:Board",
        "DESCRIPTION;LANGUAGE=nb:Saksliste\\n1. Budsjett\\, første del med en ganske lang linje som må",
        "  brettes\\n2. Eventuelt",
        "X-ALT-DESC;FMTTYPE=text/html:<html><body>Saksliste<br>1. <b>Budsjett</b></body></html>",
        'X-UNKNOWN;FOO="a:b":kept as it is',
        "ATTACH;ENCODING=BASE64;VALUE=BINARY:AAAA",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "DESCRIPTION:Reminder",
        "TRIGGER:-PT15M",
        "END:VALARM",
    ),
    event(
        "RECURRENCE-ID:20261208T090000Z",
        "DTSTART:20261208T120000Z",
        "DTEND:20261208T130000Z",
        "SUMMARY:Board",
    ),
)


def read(data: bytes) -> CalendarItem:
    """The item, which must be readable."""
    item = read_item("a.ics", data)
    assert isinstance(item, CalendarItem), item
    return item


def test_only_the_bodies_change() -> None:
    """Every line but the descriptions of events comes back byte for byte; every event says how to join."""
    new = annotated(RICH, BLOCK)
    before, after = RICH.split(b"\r\n"), new.split(b"\r\n")
    lost = [line for line in before if line not in after]
    assert all(b"DESCRIPTION" in line or b"ALT-DESC" in line or line.startswith(b" ") for line in lost)
    assert b"DESCRIPTION:Reminder" in after
    assert new.replace(b"\r\n ", b"").count(b"PIN: 123456\\n---- End [abc123] ----") == 2
    assert b"</p></body></html>" in new.replace(b"\r\n ", b"")


def test_what_we_wrote_is_no_news() -> None:
    """Reading it back gives the same fingerprint and the same entries; writing it again changes nothing."""
    new = annotated(RICH, BLOCK)
    assert read(new).fingerprint == read(RICH).fingerprint
    assert read(new).master == read(RICH).master
    assert annotated(new, BLOCK) == new


def test_the_block_is_replaced_and_taken_out() -> None:
    """A placeholder gives way to the block, never beside it; taken out, every word is as it was."""
    waiting = annotated(RICH, OTHER)
    there = annotated(waiting, BLOCK)
    plain = there.replace(b"\r\n ", b"")
    assert b"follows." not in plain
    assert plain.count(b"---- End [abc123]") == 3
    gone = annotated(there, None)
    assert b"abc123" not in gone.replace(b"\r\n ", b"")
    assert read(gone).master == read(RICH).master
    assert annotated(RICH, None) == RICH


def test_a_cancelled_event_has_no_block() -> None:
    """Nobody is shown the way to a meeting that does not take place."""
    data = calendar(event("DTSTART:20261201T100000Z", "STATUS:CANCELLED", "DESCRIPTION:x"))
    assert annotated(data, BLOCK) == data


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * (ITEM_BYTES_MAX + 1)])
def test_what_is_no_item_is_refused(data: bytes) -> None:
    """Bytes that are no text, or too many, are refused with a sentence."""
    with pytest.raises(Unreadable):
        annotated(data, BLOCK)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_written_to_or_refused(data: bytes) -> None:
    """Whatever stands in an item, without a block to take out it stays as it is, or is refused."""
    try:
        assert annotated(data, None) == data or b"Join" in data or b"DESC" in data.upper()
        annotated(data, BLOCK)
    except Unreadable:
        pass


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=400))
def test_any_description_survives(text: str) -> None:
    """In and out again, a description has the words it had."""
    assert without_block(with_block(text, BLOCK)) == text.replace("\r\n", "\n").strip()


def crlf(text: str) -> str:
    """Other line ends."""
    return text.replace("\n", "\r\n")


def wrapped(text: str) -> str:
    """Long lines broken where a word ends, and spaces at their ends."""
    return "\n".join(" \n".join(textwrap.wrap(line, 30)) for line in text.split("\n"))


def quoted(text: str) -> str:
    """Put behind marks of a quote."""
    head, mark, rest = text.partition("----")
    return head + "\n".join(f"> {line}" for line in (mark + rest).split("\n"))


def as_html(text: str) -> str:
    """Made HTML, a paragraph a line."""
    lines = "".join(f"<div>{html.escape(line) or '&nbsp;'}</div>" for line in text.split("\n"))
    return f"<html><head><style>p {{color: red}}</style></head><body>{lines}</body></html>"


def one_line(text: str) -> str:
    """All of it on one line, with hard spaces and longer dashes."""
    return text.replace("\n", " ").replace("---- ", "—— ").replace(" ----", "\u00a0——")


@pytest.mark.parametrize("rewrite", [crlf, wrapped, quoted, as_html, one_line])
def test_a_calendar_may_rewrite_the_body(rewrite: Callable[[str], str]) -> None:
    """Line ends, wrapping, quoting, mark-up, hard spaces, dashes: the item stays the one it was."""
    master = read(RICH).master
    assert master is not None
    body = rewrite(with_block(master.description, BLOCK))
    seen = msgspec.structs.replace(master, description=plain_description(body))
    assert fingerprint(seen, ()) == fingerprint(master, ())
    assert "123456" not in without_block(body)


def test_html_keeps_everything_but_the_block() -> None:
    """The HTML body of an online meeting is put back as it was, and what held nothing but the block goes with it."""
    body = '<html><body><p>Agenda</p><div id="teams">________<a href="https://teams.example/x">Join</a></div></body></html>'
    once = html_with_block(body, BLOCK)
    assert html_without_block(once) == body
    assert html_with_block(once, BLOCK) == once
    assert "&lt;2&gt;" in once
    markers = "<div>---- Join online [abc123] ----</div><div>x</div><div>---- End&nbsp;[abc123] ----</div>"
    spread = body.replace("<p>Agenda", f"{markers}<p>Agenda")
    assert html_without_block(spread) == body


def test_hostile_text_does_not_reach_the_html() -> None:
    """What stands in a value is shown, never interpreted."""
    block = block_of("a", [("Join", 'https://x.example/"><script>alert(1)</script>'), ("PIN", "<b>1</b>")])
    data = calendar(event("DTSTART:20261201T100000Z", "X-ALT-DESC;FMTTYPE=text/html:<p>x</p>"))
    new = annotated(data, block).replace(b"\r\n ", b"")
    shown = new.partition(b"X-ALT-DESC")[2].partition(b"\r\n")[0]
    assert b"PIN" in shown
    assert b"<script" not in shown
    assert b"<b>1" not in shown


def test_nobody_is_mailed_by_a_scheduling_server() -> None:
    """An item that the room organizes for others is known as one that a server would mail about."""
    people = ("ORGANIZER:mailto:room@example.org", "ATTENDEE;CN=Bo:mailto:bo@example.org")
    start = "DTSTART:20261201T100000Z"
    assert would_mail(calendar(event(start, *people)), "room@example.org")
    assert not would_mail(calendar(event(start, *people)), "other@example.org")
    client = people[1].replace("CN=Bo", "SCHEDULE-AGENT=CLIENT;CN=Bo")
    assert not would_mail(calendar(event(start, people[0], client)), "room@example.org")
    assert not would_mail(calendar(event(start, people[0])), "room@example.org")


def test_floods_of_markers_are_bounded() -> None:
    """A body full of markers that never end, or of ends without a beginning, is read in no time."""
    for flood in ("---- Join online [a] ----\n", "---- End [a] ----\n", "-", "---- Join online [", "<p>"):
        text = flood * (100_000 // len(flood))
        assert isinstance(without_block(text), str)
        assert isinstance(html_without_block(text), str)
    many = "".join(f"---- Join online [a{n}] ----\n---- End [a{n}] ----\n" for n in range(2_000))
    assert without_block(many) == ""
    assert isinstance(BLOCK, JoinBlock)
