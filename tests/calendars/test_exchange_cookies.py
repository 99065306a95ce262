"""Sync states may be damaged, old, foreign or from the future: it costs a full pass, never a meeting and never a crash.

The adapter's own envelope keeps a damaged cookie from ever reaching the server; here the server's state inside is
spoilt as well, with every behaviour seen of servers, and a keeper that follows as `engine.poll` does must end right.
"""

import base64
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.exchange import mapping
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.core.words import Entry
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held
from meetkeeper.testing.fakes.exchange.cookies import Bad
from tests.calendars.exchangevenue import PASSWORD, USER, ExchangeVenue

TALK = Entry(
    start=datetime(2026, 12, 1, 10),  # noqa: DTZ001 - a wall time
    duration_s=3_600,
    zone="Europe/Berlin",
    subject="Talk",
)
HOST = "localhost"


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeVenue]:
    """A fresh fake with an empty mailbox."""
    from meetkeeper.testing.fakes.exchange.server import FakeExchange

    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    await fake.start()
    venue = ExchangeVenue(fake)
    yield venue
    await venue.close()


async def poll(held: Held, source: ExchangeSource, cookie: str) -> bool:
    """One pass as the poller makes it; True when it took a complete one."""
    try:
        await held.follow(source, cookie)
    except CookieRefused:
        await held.follow(source, "")
    return held.listing is not None


async def settled(venue: ExchangeVenue) -> tuple[Held, str]:
    """A keeper that has seen two meetings, one of which is then removed and another made; and the state it holds."""
    for uid in ("stays", "goes"):
        put(venue, uid)
    held = await Held().follow(venue.source)
    state = mapping.unseal(HOST, ROOM_EMAIL, held.cookie)
    assert state is not None
    return held, state


def put(venue: ExchangeVenue, uid: str, subject: str = "Talk") -> None:
    """Somebody makes or changes a meeting."""
    known = venue.mailbox.find(uid)
    venue.mailbox.put(uid, replace(TALK, subject=subject), item_id="" if known is None else known.id)


def change(venue: ExchangeVenue) -> None:
    """What happens after the keeper's last look."""
    goes = venue.mailbox.find("goes")
    assert goes is not None
    venue.mailbox.remove(goes.id)
    put(venue, "new")
    put(venue, "stays", "Renamed")


def copy(held: Held) -> Held:
    """The same keeper again."""
    other = Held()
    other.items, other.cookie = dict(held.items), held.cookie
    return other


def subjects(held: Held) -> dict[str, str]:
    """UID → subject."""
    return {item.uid: item.master.subject for item in held.items.values() if item.master is not None}


AFTER = {"stays": "Renamed", "new": "Talk"}


async def test_every_damaged_byte_of_a_cookie_costs_a_full_pass(venue: ExchangeVenue) -> None:
    """Each character changed, dropped or doubled, and every cut: refused before the server is asked."""
    held, _ = await settled(venue)
    change(venue)
    cookie = held.cookie
    spoilt = {cookie[:at] + chr(ord(cookie[at]) ^ 1) + cookie[at + 1 :] for at in range(len(cookie))}
    spoilt |= {cookie[:at] + cookie[at + 1 :] for at in range(len(cookie))}
    spoilt |= {cookie[:at] + cookie[at] + cookie[at:] for at in range(len(cookie))}
    spoilt |= {cookie[:at] for at in range(1, len(cookie))}
    spoilt -= {cookie}
    asked = venue.fake.count("SyncFolderItems")
    assert isinstance(venue.source, ExchangeSource)
    for one in spoilt:
        with pytest.raises(CookieRefused):
            await Held().follow(venue.source, one)
    assert venue.fake.count("SyncFolderItems") == asked
    assert await poll(held, venue.source, next(iter(spoilt)))
    assert subjects(held) == AFTER


@pytest.mark.parametrize("bad", [Bad.REFUSE, Bad.FAULT])
async def test_a_state_that_the_server_refuses_costs_a_full_pass(venue: ExchangeVenue, bad: Bad) -> None:
    """Every eighth bit of the state flipped inside an honest envelope, and garbage: refused in either form."""
    venue.fake.bad_cookie = bad
    held, state = await settled(venue)
    change(venue)
    raw = base64.b64decode(state)
    flipped = [raw[:at] + bytes([raw[at] ^ (1 << at % 8)]) + raw[at + 1 :] for at in range(0, len(raw), 3)]
    spoilt = [base64.b64encode(one).decode() for one in flipped]
    spoilt += ["x", "AAAA", state[:-4], state + "AAAA", "ø" * 50, "<a>&amp;]]>"]
    assert isinstance(venue.source, ExchangeSource)
    for one in spoilt:
        again = copy(held)
        assert await poll(again, venue.source, mapping.seal(HOST, ROOM_EMAIL, one))
        assert subjects(again) == AFTER


@pytest.mark.parametrize("bad", [Bad.AS_EMPTY, Bad.AS_UPDATES, Bad.BOGUS, Bad.NOTHING])
async def test_a_state_that_the_server_takes_wrongly_loses_nothing_for_good(
    venue: ExchangeVenue, bad: Bad
) -> None:
    """A silent full list, updates of everything, bogus deletions, "nothing changed": what is reported is right, nothing
    is lost, and the next complete pass, which the audit makes, has it all.
    """
    venue.fake.bad_cookie = bad
    held, state = await settled(venue)
    change(venue)
    assert isinstance(venue.source, ExchangeSource)
    for one in ("AAAA", state[:-4], state.swapcase()):
        again = copy(held)
        assert not await poll(again, venue.source, mapping.seal(HOST, ROOM_EMAIL, one))
        expected = {"stays": "Talk", "goes": "Talk"} if bad is Bad.NOTHING else AFTER | {"goes": "Talk"}
        assert subjects(again) == expected
        put(venue, "later", f"Later {one}")
        assert not await poll(again, venue.source, again.cookie)
        assert subjects(again) == expected | {"later": f"Later {one}"}
        assert await poll(again, venue.source, "")
        assert subjects(again) == AFTER | {"later": f"Later {one}"}
        later = venue.mailbox.find("later")
        assert later is not None
        venue.mailbox.remove(later.id)


@pytest.mark.parametrize("keep", [1, 2, 5])
async def test_cookies_of_every_generation_lead_to_the_same(venue: ExchangeVenue, keep: int) -> None:
    """The server remembers its last few states: older ones cost a full pass, younger ones an increment; same end."""
    assert isinstance(venue.source, ExchangeSource)
    assert isinstance(venue.standby, ExchangeSource)
    keepers = [await Held().follow(venue.source)]
    for generation in range(8):
        put(venue, f"u{generation}")
        gone = venue.mailbox.find(f"u{generation - 3}")
        if gone is not None:
            venue.mailbox.remove(gone.id)
        keepers.append(await copy(keepers[-1]).follow(venue.source))
    venue.fake.keep = keep
    complete = [await poll(one, venue.standby, one.cookie) for one in keepers]
    assert {tuple(sorted(subjects(one))) for one in keepers} == {("u5", "u6", "u7")}
    assert complete[0]


async def test_a_mailbox_in_another_life_knows_no_old_cookie(venue: ExchangeVenue) -> None:
    """Moved or rebuilt: the old state is refused, the full pass is right."""
    held, _ = await settled(venue)
    backup = venue.mailbox.back_up()
    change(venue)
    venue.mailbox.restore(backup, new_life=True)
    assert isinstance(venue.source, ExchangeSource)
    assert await poll(held, venue.source, held.cookie)
    assert subjects(held) == {"stays": "Talk", "goes": "Talk"}


async def test_a_burst_comes_in_pages_that_move_the_cookie(venue: ExchangeVenue) -> None:
    """A thousand changes after a long silence: pages, each with its own cookie; whoever stops goes on from there."""
    held = await Held().follow(venue.source)
    for number in range(60):
        put(venue, f"u{number}")
    venue.fake.page_max = 20
    cookies = [page.cookie async for page in venue.source.changes(held.cookie)]
    marks = [cookie for cookie in cookies if cookie is not None]
    assert len(marks) == 3
    assert len(set(marks)) == 3
    async for page in venue.source.changes(held.cookie):
        for item in page.items:
            held.items[item.href] = item
        if page.cookie is not None:
            held.cookie = page.cookie
            break
    assert len(held.items) == 20
    await held.follow(venue.source)
    assert len(held.items) == 60


async def test_what_is_gone_holds_the_cookie_back_until_the_end(venue: ExchangeVenue) -> None:
    """A deletion in an early page is told with the last one, together with the cookie: none is lost in between."""
    for number in range(60):
        put(venue, f"u{number}")
    held = await Held().follow(venue.source)
    gone = venue.mailbox.find("u0")
    assert gone is not None
    for number in range(1, 60):
        put(venue, f"u{number}", "Other")
    venue.mailbox.remove(gone.id)
    venue.fake.page_max = 20
    pages = [page async for page in venue.source.changes(held.cookie)]
    assert [page.cookie is None for page in pages[:-1]] == [True] * (len(pages) - 1)
    assert [page.gone for page in pages if page.gone] == [(gone.id,)]
    assert pages[-1].gone
    assert pages[-1].cookie is not None
