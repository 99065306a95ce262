"""A fake Exchange to try a configuration on: `python -m meetkeeper.testing.fakes.exchange --port 8443 --room oslo@…`.

Room mailboxes answer at the EWS address printed at the start, to any user, with impersonation. Invitations are brought
by HTTP, since nobody has Outlook here: `PUT /invitations/ROOM/NAME.ics` with an iCalendar object, `DELETE` to cancel
it. The room attends in two steps, as rooms do: first the invitation as it was sent, a moment later the accepted one.
Everything is in memory.
"""

import argparse
import asyncio
import sys
from urllib.parse import unquote

from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.reading import read_item
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.exchange.soap import Asked
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from meetkeeper.testing.fakes.mailbox import RoomSettings

INVITATIONS = "/invitations/"
ATTENDS_AFTER_S = 0.5


class PostOffice:
    """Brings invitations to room mailboxes; what was brought under a name before is what is changed or cancelled."""

    def __init__(self, fake: FakeExchange) -> None:
        self._fake = fake
        self._uids: dict[str, str] = {}

    async def take(self, request: Request, asked: Asked | None) -> Reply | None:
        """An answer to what is brought; None for what is `asked` of the server itself."""
        if asked is not None or not request.path.startswith(INVITATIONS):
            return None
        address, _, name = unquote(request.path.removeprefix(INVITATIONS)).partition("/")
        mailbox = self._fake.site.find(address)
        if mailbox is None:
            return _said(404, f"There is no room {address}.")
        place = f"{mailbox.address}/{name}"
        if request.method == "DELETE":
            known = mailbox.find(self._uids.pop(place, ""))
            return (
                _said(204) if known is not None and mailbox.remove(known.id) else _said(404, "Nothing there.")
            )
        if request.method != "PUT":
            return _said(405, "PUT an invitation, or DELETE it.")
        rooms = frozenset(self._fake.site.mailboxes)
        item = read_item(name, request.body, own_email=mailbox.address, room_emails=rooms)
        if not isinstance(item, CalendarItem) or item.master is None:
            return _said(400, "That is no invitation: " + getattr(item, "sentence", "it has no event."))
        mailbox.deliver(item.uid, item.master, item.overrides)
        self._uids[place] = item.uid
        return _said(201)


def _said(status: int, text: str = "") -> Reply:
    return Reply(status, text.encode(), content_type="text/plain; charset=utf-8")


async def _serve(port: int, rooms: list[str]) -> None:
    fake = FakeExchange()
    for room in rooms:
        fake.site.open(room, settings=RoomSettings(attend_after_s=ATTENDS_AFTER_S))
    fake.trick = PostOffice(fake).take
    await fake.start(port=port)
    sys.stdout.write(f"{fake.url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m meetkeeper.testing.fakes.exchange", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of loopback; 0: a free one")
    parser.add_argument("--room", action="append", default=[], help="a room's address; may be given often")
    asked = parser.parse_args()
    try:
        asyncio.run(_serve(asked.port, asked.room))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
