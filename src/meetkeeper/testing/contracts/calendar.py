"""What every room calendar must do: inherit the suite, hand it a `CalendarVenue`, and it tries all of it.

Pages are never looked at one by one: they are folded into what a keeper would hold (`Held`), because only that has to
be right. Whatever happens to a cookie, the calendar or the connection, what is held is never wrong.
"""

import random
from abc import abstractmethod
from typing import Protocol

import pytest

from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.words import CalendarItem, Meeting, Person, RoomId, Uid
from meetkeeper.itemtext.writing import Conference, Venue, item_of, to_calendar
from meetkeeper.ports.calendar import CalendarSource, CookieRefused, Doctor, NearestFirst

CROWD = 30
"""Items in a calendar that needs more than one page."""
ROOM_EMAIL = "room@example.org"
"""The address of the room whose calendar is tested."""


class CalendarVenue(Protocol):
    """A calendar to test, and another program's hands in it."""

    source: CalendarSource
    standby: CalendarSource
    """What the other server of the pair uses: its own source with the same configuration."""
    elsewhere: CalendarSource
    """Another calendar of the same kind, whose cookies are foreign here."""
    away: CalendarSource
    """The same calendar by a way that does not lead there."""

    @abstractmethod
    async def put(self, name: str, text: bytes) -> None:
        """Another program saves an iCalendar object under this name, new or again."""

    @abstractmethod
    async def delete(self, name: str) -> None:
        """Another program removes what stands under this name."""


class Held:
    """What somebody holds who has taken every page so far."""

    def __init__(self) -> None:
        self.items: dict[str, CalendarItem] = {}
        self.problems: dict[str, str] = {}
        self.cookie = ""
        self.listing: frozenset[str] | None = None
        self.reported: set[str] = set()
        self.gone: set[str] = set()

    async def follow(self, source: CalendarSource, cookie: str | None = None) -> "Held":
        """One pass from our cookie, or from this one; folds its pages in and answers with itself."""
        self.listing, self.reported, self.gone = None, set(), set()
        async for page in source.changes(self.cookie if cookie is None else cookie):
            assert self.listing is None, "a page came after the last one of a complete pass"
            for item in page.items:
                self.items[item.href] = item
                self.problems.pop(item.href, None)
                self.reported.add(item.href)
            for name, sentence in page.problems:
                assert sentence.endswith("."), sentence
                self.problems[name] = sentence
            for name in page.gone:
                self.items.pop(name, None)
                self.problems.pop(name, None)
                self.gone.add(name)
            if page.listing is not None:
                self.listing = page.listing
                self.items = {name: item for name, item in self.items.items() if name in page.listing}
                self.problems = {name: why for name, why in self.problems.items() if name in page.listing}
            if page.cookie is not None:
                self.cookie = page.cookie
        return self

    @property
    def uids(self) -> set[str]:
        """The meetings held."""
        return {item.uid for item in self.items.values()}

    @property
    def prints(self) -> dict[str, str]:
        """UID → fingerprint."""
        return {item.uid: item.fingerprint for item in self.items.values()}


def text_of(uid: str, subject: str = "Talk", *lines: str) -> bytes:
    """A meeting of one hour."""
    inside = [f"UID:{uid}", "DTSTAMP:20261101T080000Z", "DTSTART:20261201T100000Z", "DTEND:20261201T110000Z"]
    whole = ["BEGIN:VEVENT", *inside, f"SUMMARY:{subject}", *lines, "END:VEVENT"]
    return "\r\n".join(
        ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", *whole, "END:VCALENDAR", ""]
    ).encode()


def unreadable_text(uid: str) -> bytes:
    """A meeting that servers take and we do not: it repeats by two rules at once."""
    return text_of(uid, "x", "RRULE:FREQ=DAILY;COUNT=2", "RRULE:FREQ=WEEKLY;COUNT=2")


def booked(uid: str, subject: str = "Booked here", start_s: int = 1_796_119_200) -> Meeting:
    """A meeting booked by API."""
    return Meeting(
        id=meeting_id(Uid(uid), None),
        uid=Uid(uid),
        subject=subject,
        organizer=Person("ada@example.org", "Ada, Countess"),
        rooms=(RoomId("room"),),
        start_s=start_s,
        end_s=start_s + 5_400,
        time_zone="Europe/Oslo",
        invitees=(Person("bo@example.org", 'Bo "B"'), Person("cy@example.org")),
        description="First line\nSecond; with, signs \\ and æøå",
        sequence=2,
        modified_s=1_793_577_600,
    )


def written(meeting: Meeting) -> bytes:
    """What the outbox has written into the room's calendar for this meeting."""
    block = "---- Join online [abc] ----\nJoin: https://meet.example/join/abc\n---- End [abc] ----\n"
    ways = (
        Conference("https://meet.example/join/abc", "Join in the browser"),
        Conference("sip:abc@meet.example"),
    )
    return to_calendar(
        item_of(meeting), Venue(rooms=(Person(ROOM_EMAIL, "Room"),), conference=ways, join_block=block)
    )


async def _is_ill(source: Doctor) -> bool:
    """The doctor can't get there, or finds what does not work."""
    try:
        return any(one.level == "red" for one in await source.doctor())
    except MeetkeeperError:
        return True


class CalendarContract:
    """The suite. A subclass gives the fixture `venue`: a fresh, empty calendar for each test.

    `cookie_each_page`: a pass from a cookie has a cookie with every page. A complete pass never has: see `ports`.
    """

    cookie_each_page = False

    async def test_an_empty_cookie_is_a_complete_pass(self, venue: CalendarVenue) -> None:
        """Without a cookie everything is given, the listing names it all, and a cookie comes with it."""
        for uid in ("a", "b", "c"):
            await venue.put(f"{uid}.ics", text_of(uid))
        held = await Held().follow(venue.source)
        assert held.uids == {"a", "b", "c"}
        assert held.listing == frozenset(held.items)
        assert held.cookie
        assert not held.problems

    async def test_an_empty_calendar_is_empty(self, venue: CalendarVenue) -> None:
        """A calendar without items says so with an empty listing and a cookie that works."""
        held = await Held().follow(venue.source)
        assert held.listing == frozenset()
        await venue.put("a.ics", text_of("a"))
        assert (await held.follow(venue.source)).uids == {"a"}

    async def test_nothing_changed_is_nothing_new(self, venue: CalendarVenue) -> None:
        """A second pass reports nothing gone, no listing, and nothing whose fingerprint differs."""
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        before = held.prints
        for _ in range(2):
            await held.follow(venue.source)
            assert (held.prints, held.gone, held.listing) == (before, set(), None)
            assert held.cookie

    async def test_made_changed_and_removed_between_two_looks(self, venue: CalendarVenue) -> None:
        """What was made and changed is given, what was removed is gone, what stayed is not touched."""
        for uid in ("stays", "changes", "goes"):
            await venue.put(f"{uid}.ics", text_of(uid))
        held = await Held().follow(venue.source)
        before = held.prints
        await venue.put("changes.ics", text_of("changes", "Other"))
        await venue.put("new.ics", text_of("new"))
        await venue.delete("goes.ics")
        await held.follow(venue.source)
        assert held.uids == {"stays", "changes", "new"}
        assert len(held.gone) == 1
        assert held.prints["changes"] != before["changes"]
        assert held.prints["stays"] == before["stays"]

    async def test_an_old_cookie_may_be_used_again(self, venue: CalendarVenue) -> None:
        """After a crash, or on the other server, the same cookie gives the same changes once more."""
        await venue.put("a.ics", text_of("a"))
        await venue.put("b.ics", text_of("b"))
        held = await Held().follow(venue.source)
        old = held.cookie
        await venue.put("a.ics", text_of("a", "Other"))
        await venue.delete("b.ics")
        await held.follow(venue.source)
        for source in (venue.source, venue.standby):
            again = await Held().follow(source, old)
            assert again.uids == {"a"}
            assert again.prints["a"] == held.prints["a"]
            assert again.listing is not None or len(again.gone) == 1

    async def test_a_spoilt_cookie_is_refused_or_costs_a_full_pass(self, venue: CalendarVenue) -> None:
        """Garbage, cut, changed and foreign cookies are refused or answered in full; what is held is never wrong."""
        await venue.put("a.ics", text_of("a"))
        await venue.put("b.ics", text_of("b"))
        known = await Held().follow(venue.source)
        cookie = known.cookie
        foreign = (await Held().follow(venue.elsewhere)).cookie
        await venue.delete("b.ics")
        middle = len(cookie) // 2
        spoilt = [
            "x",
            "\x00",
            "ø\u2028" * 40,
            "x" * 5_000,
            cookie[:-1],
            cookie[:middle],
            cookie[1:],
            cookie + "0",
            cookie[:middle] + chr(ord(cookie[middle]) ^ 1) + cookie[middle + 1 :],
            cookie.swapcase(),
            foreign,
        ]
        for one in spoilt:
            if one == cookie:
                continue
            held = Held()
            held.items = dict(known.items)
            try:
                await held.follow(venue.source, one)
            except CookieRefused:
                continue
            assert held.uids == {"a"}, one

    async def test_saving_the_same_again_is_no_change(self, venue: CalendarVenue) -> None:
        """An item saved again as it was is not reported, or with the same fingerprint."""
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        before = held.prints
        await venue.put("a.ics", text_of("a"))
        assert (await held.follow(venue.source)).prints == before

    async def test_removed_and_made_again_is_there(self, venue: CalendarVenue) -> None:
        """The same UID under the same name, made anew between two looks, is held with its new content."""
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        before = held.prints
        await venue.delete("a.ics")
        await venue.put("a.ics", text_of("a", "Anew"))
        await held.follow(venue.source)
        assert held.uids == {"a"}
        assert held.prints != before

    async def test_moved_to_another_name_is_there_once(self, venue: CalendarVenue) -> None:
        """The same UID under another name: the old name is gone, the meeting is held."""
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        await venue.delete("a.ics")
        await venue.put("b.ics", text_of("a"))
        await held.follow(venue.source)
        assert [item.uid for item in held.items.values()] == ["a"]
        assert len(held.gone) == 1

    async def test_what_can_not_be_read_is_a_problem_and_not_gone(self, venue: CalendarVenue) -> None:
        """An unreadable item is named with a sentence and stays listed; mended, it is held; spoilt, it is not gone."""
        await venue.put("a.ics", unreadable_text("a"))
        await venue.put("b.ics", text_of("b"))
        held = await Held().follow(venue.source)
        assert held.listing is not None
        assert len(held.problems) == 1
        assert set(held.problems) < held.listing
        await venue.put("a.ics", text_of("a"))
        await venue.put("b.ics", unreadable_text("b"))
        await held.follow(venue.source)
        assert "a" in held.uids
        assert not held.gone
        assert len(held.problems) == 1

    async def test_many_items_come_in_pages(self, venue: CalendarVenue) -> None:
        """A large calendar is given whole, only its end says so, and whoever stops in the middle misses nothing."""
        held = await Held().follow(venue.source)
        for number in range(CROWD):
            await venue.put(f"m{number}.ics", text_of(f"m{number}"))
        async for page in venue.source.changes(held.cookie):
            assert page.cookie is None or self.cookie_each_page
            break
        assert len((await held.follow(venue.source)).items) == CROWD
        pages = [page async for page in venue.source.changes("")]
        assert len(pages) > 1
        assert all(page.listing is None and page.cookie is None for page in pages[:-1])
        assert len({item.uid for page in pages for item in page.items}) == CROWD
        assert pages[-1].listing is not None
        assert len(pages[-1].listing) == CROWD

    async def test_whoever_goes_on_from_a_page_misses_nothing(self, venue: CalendarVenue) -> None:
        """Broken off after any page, a pass is taken up from the newest cookie there was, on either server."""
        for number in range(4):
            await venue.put(f"old{number}.ics", text_of(f"old{number}"))
        begin = await Held().follow(venue.source)
        for number in range(CROWD):
            await venue.put(f"m{number}.ics", text_of(f"m{number}"))
        for number in range(3):
            await venue.delete(f"old{number}.ics")
        pages = [page async for page in venue.source.changes(begin.cookie)]
        assert self.cookie_each_page <= all(page.cookie is not None for page in pages)
        for stop in range(1, len(pages) + 1):
            held = Held()
            held.items, held.cookie = dict(begin.items), begin.cookie
            count = 0
            async for page in venue.source.changes(begin.cookie):
                held.items.update({item.href: item for item in page.items})
                for name in page.gone:
                    held.items.pop(name, None)
                held.cookie = page.cookie or held.cookie
                count += 1
                if count == stop:
                    break
            await held.follow(venue.standby)
            assert held.uids == {"old3"} | {f"m{number}" for number in range(CROWD)}, stop

    async def test_a_complete_pass_spoils_no_cookie(self, venue: CalendarVenue) -> None:
        """An audit reads everything beside a cookie: what changes meanwhile is told to that cookie all the same."""
        await venue.put("a.ics", text_of("a"))
        await venue.put("b.ics", text_of("b"))
        held = await Held().follow(venue.source)
        whole = await Held().follow(venue.source, "")
        assert whole.prints == held.prints
        await venue.put("a.ics", text_of("a", "Other"))
        await venue.delete("b.ics")
        assert (await held.follow(venue.source)).uids == {"a"}
        assert held.prints != whole.prints
        assert held.reported | held.gone >= {*held.items}

    async def test_the_next_hours_are_given_by_themselves(self, venue: CalendarVenue) -> None:
        """A source that can give a span gives what begins in it, series whole, and no mark; others are passed over."""
        if not isinstance(venue.source, NearestFirst):
            return
        await venue.put("near.ics", text_of("near"))
        daily = text_of("daily", "Daily", "RRULE:FREQ=DAILY;COUNT=60").replace(b"20261201T", b"20261120T")
        await venue.put("daily.ics", daily)
        pages = [page async for page in venue.source.soon(1_796_083_200, 1_796_169_600)]
        assert {item.uid for page in pages for item in page.items} <= {"near", "daily"}
        assert all((page.cookie, page.listing, page.gone) == (None, None, ()) for page in pages)
        held = await Held().follow(venue.source)
        given = {item.href: item.fingerprint for page in pages for item in page.items}
        assert given == {name: held.items[name].fingerprint for name in given}
        with pytest.raises(MeetkeeperError):
            async for _ in venue.away.soon(1_796_083_200, 1_796_169_600):  # type: ignore[attr-defined]
                pass

    async def test_what_a_doctor_says_can_be_read(self, venue: CalendarVenue) -> None:
        """A source that examines itself says sentences, and by a way that leads nowhere it says so or raises."""
        if not isinstance(venue.source, Doctor):
            return
        await venue.put("a.ics", text_of("a"))
        for finding in await venue.source.doctor():
            assert finding.text.endswith("."), finding
            assert not finding.symptom or finding.symptom.endswith("."), finding
            assert finding.level not in ("amber", "red") or finding.mend, finding
        assert isinstance(venue.away, Doctor)
        assert await _is_ill(venue.away)

    async def test_heavy_items_do_not_share_a_page(self, venue: CalendarVenue) -> None:
        """Items of hundreds of kilobytes come in pages of their own: a page is kept as one decision."""
        for number in range(3):
            text = text_of(f"h{number}", "Heavy", "X-NOTE:" + "x" * 200_000)
            await venue.put(f"h{number}.ics", text)
        pages = [page async for page in venue.source.changes("")]
        assert max(len(page.items) for page in pages) == 1
        assert sum(len(page.items) for page in pages) == 3

    async def test_a_series_is_one_item(self, venue: CalendarVenue) -> None:
        """Master and overrides come as one item under one name."""
        moved = [
            "END:VEVENT",
            "BEGIN:VEVENT",
            "UID:s",
            "DTSTAMP:20261101T080000Z",
            "RECURRENCE-ID:20261202T100000Z",
            "DTSTART:20261202T140000Z",
            "DTEND:20261202T150000Z",
        ]
        await venue.put("s.ics", text_of("s", "Daily", "RRULE:FREQ=DAILY;COUNT=5", *moved))
        (item,) = (await Held().follow(venue.source)).items.values()
        assert item.master is not None
        assert item.master.rrule == "FREQ=DAILY;COUNT=5"
        assert len(item.overrides) == 1

    async def test_what_is_no_meeting_is_passed_over(self, venue: CalendarVenue) -> None:
        """A task beside the meetings is neither held nor a problem."""
        task = text_of("t").replace(b"VEVENT", b"VTODO").replace(b"DTEND", b"DUE")
        await venue.put("t.ics", task)
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        assert (held.uids, held.problems, len(held.listing or ())) == ({"a"}, {}, 1)

    async def test_names_may_be_odd(self, venue: CalendarVenue) -> None:
        """Spaces, signs and foreign letters in names are followed through change and removal."""
        names = ["two words.ics", "späte-käse.ics", "a+b=c@d.ics", "100%25.ics"]
        for number, name in enumerate(names):
            await venue.put(name, text_of(f"odd{number}"))
        held = await Held().follow(venue.source)
        assert len(held.items) == len(names)
        for number, name in enumerate(names[1:], start=1):
            await venue.put(name, text_of(f"odd{number}", "Other"))
        await venue.delete(names[0])
        await held.follow(venue.source)
        assert held.uids == {f"odd{number}" for number in range(1, len(names))}
        assert {item.master.subject for item in held.items.values() if item.master} == {"Other"}

    async def test_what_we_write_comes_back_as_we_meant_it(self, venue: CalendarVenue) -> None:
        """A meeting written into the calendar is read back with the same fingerprint: our echo is no news."""
        for meeting in (
            booked("w1@example.org"),
            booked("w 2/å", "Odd UID"),
            booked("w3", "Winter", 1_800_000_000),
        ):
            await venue.source.write(meeting.uid, written(meeting))
            held = await Held().follow(venue.standby)
            assert held.prints[meeting.uid] == item_of(meeting).fingerprint
            assert not held.problems

    async def test_writing_again_replaces(self, venue: CalendarVenue) -> None:
        """The same UID written twice is one item with the later content, and the same bytes again change nothing."""
        await venue.source.write("w", written(booked("w")))
        held = await Held().follow(venue.source)
        await venue.source.write("w", written(booked("w", "Later")))
        await venue.source.write("w", written(booked("w", "Later")))
        await held.follow(venue.source)
        assert held.prints == {"w": item_of(booked("w", "Later")).fingerprint}
        assert len(held.items) == 1

    async def test_an_item_is_found_wherever_it_stands(self, venue: CalendarVenue) -> None:
        """A meeting that somebody put under a name of their own is replaced and removed there, not doubled."""
        await venue.put("somewhere else.ics", text_of("w"))
        await venue.put("bystander.ics", text_of("ww"))
        held = await Held().follow(venue.source)
        await venue.source.write("w", written(booked("w")))
        await held.follow(venue.source)
        assert len(held.items) == 2
        assert held.prints["w"] == item_of(booked("w")).fingerprint
        await venue.source.remove("w")
        assert (await held.follow(venue.source)).uids == {"ww"}

    async def test_removing_twice_is_removing(self, venue: CalendarVenue) -> None:
        """What is not there is removed already, and nothing else goes with it."""
        await venue.put("a.ics", text_of("a"))
        await venue.source.write("w", written(booked("w")))
        held = await Held().follow(venue.source)
        for uid in ("w", "w", "never-there", "unheard/of å"):
            await venue.source.remove(uid)
        assert (await held.follow(venue.source)).uids == {"a"}

    async def test_a_way_that_leads_nowhere_is_an_error(self, venue: CalendarVenue) -> None:
        """A calendar out of reach raises one of our errors with a sentence; it is never an empty calendar."""
        await venue.put("a.ics", text_of("a"))
        known = await Held().follow(venue.source)
        held = Held()
        with pytest.raises(MeetkeeperError, match=r"\w.*\."):
            await held.follow(venue.away)
        with pytest.raises((MeetkeeperError, CookieRefused)):
            await held.follow(venue.away, known.cookie)
        assert held.listing is None
        assert not held.cookie
        for verb in (venue.away.write("w", written(booked("w"))), venue.away.remove("w"), venue.away.probe()):
            with pytest.raises(MeetkeeperError):
                await verb

    async def test_the_probe_says_who_answered(self, venue: CalendarVenue) -> None:
        """A calendar that can be reached introduces itself in a sentence."""
        assert (await venue.source.probe()).endswith(".")

    async def test_many_hands_and_looks_in_any_order(self, venue: CalendarVenue) -> None:
        """After any sequence of saving and removing, with looks in between, what is held is what is there."""
        dice = random.Random(2026)
        there: dict[str, str] = {}
        held = await Held().follow(venue.source)
        for turn in range(40):
            name = f"n{dice.randrange(8)}.ics"
            if name in there and dice.random() < 0.4:
                del there[name]
                await venue.delete(name)
            else:
                there[name] = f"Version {turn}"
                await venue.put(name, text_of(name, there[name]))
            if dice.random() < 0.3:
                source = venue.source if dice.random() < 0.5 else venue.standby
                await held.follow(source, "" if dice.random() < 0.2 else None)
                shown = {item.uid: item.master.subject for item in held.items.values() if item.master}
                assert shown == there, turn
