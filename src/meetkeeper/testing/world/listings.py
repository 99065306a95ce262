"""Judges of what calendars list: cookies follow what they stand for, listings alone sweep, the brake holds."""

from meetkeeper.core.changes import CookieKept, ItemForgotten, ItemKept
from meetkeeper.core.commands import ReleaseBrake
from meetkeeper.core.events import Audited, EffectReported, PageSeen
from meetkeeper.core.words import OPEN_STEPS, RoomId, Uid
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.happenings import Violation


class CookieBehind:
    """P4: a cookie never runs ahead of what it stands for: it is kept with its page or after it, never before."""

    def __init__(self) -> None:
        self._seen: dict[RoomId, set[tuple[str, str]]] = {}

    def on_decided(self, happening: seen.Decided) -> None:
        """A plan that moves a cookie has left no item of its page out."""
        event = happening.event
        if not isinstance(event, PageSeen):
            return
        moved = any(type(change) is CookieKept and change.cookie for change in happening.plan.changes)
        if not moved:
            return
        rows = happening.state.items.get(event.room, {})
        for item in event.items:
            row = rows.get(item.href)
            if row is None or row.fingerprint != item.fingerprint:
                raise Violation(f"the cookie of {event.room} moved before {item.href} was kept")
        for href in event.gone:
            row = rows.get(href)
            shown = any(item.href == href for item in event.items)
            if row is not None and not (row.gone or row.held or shown):
                raise Violation(f"the cookie of {event.room} moved before {href} was taken as gone")


class SweepNeedsListing:
    """Nothing is taken as gone but what its calendar named as gone, or left out of a complete listing."""

    def on_decided(self, happening: seen.Decided) -> None:
        """Look at what a page takes away."""
        event = happening.event
        if not isinstance(event, PageSeen):
            return
        shown = {item.href for item in event.items} | {item.uid for item in event.items}
        for change in happening.plan.changes:
            leaves = type(change) is ItemForgotten or (
                type(change) is ItemKept and (change.gone or change.held)
            )
            if not leaves or not isinstance(change, ItemForgotten | ItemKept):
                continue
            href = change.href.partition("\n")[0]
            uid = change.uid if isinstance(change, ItemKept) else ""
            unlisted = event.listing is not None and href not in event.listing
            if not (
                href in event.gone or unlisted or href in shown or uid in shown or self._waits(event, change)
            ):
                raise Violation(f"{href} of {event.room} was taken as gone, and nobody said so")

    def _waits(self, event: PageSeen, change: ItemForgotten | ItemKept) -> bool:
        """Held with others: an earlier page had named it."""
        return isinstance(change, ItemKept) and change.held and bool(event.gone or event.listing is not None)


class NoFalseAlarm:
    """Where every calendar tells every change, audits find nothing to mend, whatever the weather."""

    def on_decided(self, happening: seen.Decided) -> None:
        """Look at what an audit found."""
        if isinstance(happening.event, Audited) and happening.event.found:
            raise Violation(f"an honest calendar is blamed: {happening.event}")


class BrakeHolds:
    """Nothing is cancelled past the brake: what a single listing takes away too much of waits for a person.

    Counted are items whose UID has a meeting ahead in the room and that the room shows under no other name.
    """

    def __init__(self) -> None:
        self._known: dict[RoomId, dict[str, Uid]] = {}
        self._held: dict[tuple[RoomId, str], int] = {}

    def on_booted(self, happening: seen.Booted) -> None:
        """What was not kept was not seen."""
        state, seq = happening.database.state, happening.database.position.seq
        self._known = {
            room: {href: row.uid for href, row in rows.items() if not row.gone}
            for room, rows in state.items.items()
        }
        self._held = {place: at for place, at in self._held.items() if at <= seq}

    def on_lost(self, happening: seen.Lost) -> None:
        """Nothing was seen."""
        self._held.clear()

    def on_decided(self, happening: seen.Decided) -> None:
        """Count what vanishes; watch what is held."""
        event = happening.event
        for change in happening.plan.changes:
            ours = isinstance(event, EffectReported)
            if type(change) is ItemForgotten and (change.room, change.href) in self._held and not ours:
                raise Violation(f"{change.href} of {change.room} was dropped past the brake")
        if isinstance(event, PageSeen):
            self._page(event, happening)
        elif isinstance(event, ReleaseBrake):
            for place in [place for place in self._held if place[0] == event.room]:
                del self._held[place]

    def _page(self, event: PageSeen, happening: seen.Decided) -> None:
        known = self._known.setdefault(event.room, {})
        known.update({item.href: item.uid for item in event.items})
        shown = {item.uid for item in event.items}
        seen_again = [href for href, uid in known.items() if uid in shown or href in (event.listing or ())]
        for href in seen_again:
            self._held.pop((event.room, href), None)
        if event.listing is None:
            for href in event.gone:
                if (event.room, href) not in self._held:
                    known.pop(href, None)
            return
        left = {uid for href, uid in known.items() if href in event.listing}
        vanished = [href for href in known if href not in event.listing]
        counted = [
            href
            for href in vanished
            if known[href] not in left and self._is_ahead(happening, event.room, known[href])
        ]
        brake = happening.state.settings().brake
        if len(counted) > brake.items_min and len(counted) * 100 > brake.percent * len(known):
            for href in counted:
                self._held.setdefault((event.room, href), happening.position.seq)
        for href in vanished:
            if (event.room, href) not in self._held:
                del known[href]

    def _is_ahead(self, happening: seen.Decided, room: RoomId, uid: Uid) -> bool:
        return any(
            row.step in OPEN_STEPS
            and row.end_s > happening.now_s
            and room in row.rooms
            and happening.state.decode(row).uid == uid
            for row in happening.state.meetings.values()
        )
