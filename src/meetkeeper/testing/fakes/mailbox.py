"""Room mailboxes in memory, as Exchange and Microsoft 365 keep them: what the fake servers for both serve.

Items are our `Entry` words beside what only a mailbox has: an id, a change key, the version that last touched them, the
room's answer. Fakes read (`items`, `changes`, `find`) and translate; tests and demonstrations are the other people's
hands (`put`, `deliver`, `update`, `remove`, `hide`, `back_up`, `restore`). No I/O, no threads, no clock of its own.
"""

from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.words import Entry, Person

DELETED_KEPT_MAX = 10_000
ID_BYTES = 114
"""152 characters."""


class Answer(StrEnum):
    """What the mailbox has answered to the organizer (`ResponseType` in EWS, `responseStatus` in Graph)."""

    NONE = "none"
    ORGANIZER = "organizer"
    TENTATIVE = "tentative"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WAITING = "waiting"
    """Nobody has answered yet."""


class RoomSettings(Struct, frozen=True, kw_only=True):
    """What Set-CalendarProcessing says of a room; the defaults here leave a meeting as it was sent.

    `attend_after_s` is the time from a meeting's arrival to the room's answer; None: only `attend()` answers.
    """

    auto_accept: bool = True
    allow_conflicts: bool = True
    delete_subject: bool = False
    add_organizer_to_subject: bool = False
    delete_comments: bool = False
    remove_private: bool = False
    attend_after_s: float | None = None


VENDOR_DEFAULTS = RoomSettings(
    allow_conflicts=False,
    delete_subject=True,
    add_organizer_to_subject=True,
    delete_comments=True,
    remove_private=True,
)
"""What a room has that nobody configured."""


class Stored(Struct, frozen=True, kw_only=True):
    """One item of a mailbox's calendar.

    `uid` is spelled as its sender did. `version` is the mailbox's at the last change, `created` at the making.
    `body_html` is served where it is set, else the master's description as plain text. `zone_name` is what the mailbox
    calls the zone; "" leaves the name to the fake. `spoilt` is served where a date belongs, so that nobody can read it.
    `properties` are extended ones by name, which programs may set and ask for.
    """

    id: str
    change_key: str
    uid: str
    version: int
    created: int
    master: Entry
    overrides: tuple[Entry, ...] = ()
    answer: Answer = Answer.ACCEPTED
    body_html: str = ""
    bodies: tuple[tuple[datetime, str], ...] = ()
    """HTML of changed occurrences that have a body of their own, by the start that the series gave them."""
    zone_name: str = ""
    spoilt: str = ""
    item_class: str = "IPM.Appointment"
    properties: tuple[tuple[str, str], ...] = ()
    made_s: int = 0


def html_of(stored: Stored, entry: Entry) -> str:
    """The HTML of a body: a changed occurrence's own, or the master's where it has none of any kind."""
    own = dict(stored.bodies).get(entry.recurrence_id) if entry.recurrence_id is not None else None
    inherits = entry.recurrence_id is None or not entry.description
    return own or (stored.body_html if inherits else "")


class Change(Struct, frozen=True):
    """One line of what changed: the item's id and the version at which it did."""

    kind: Literal["create", "update", "delete"]
    id: str
    version: int


class Backup(Struct, frozen=True):
    """A mailbox as it was, its counters included: ids given out later are given out again after a restore."""

    items: tuple[Stored, ...]
    gone: tuple[tuple[str, int, int], ...]
    version: int
    counter: int


class Mailbox:
    """One room's mailbox. Switches are plain attributes; turn them at any time.

    `settings` how the room attends; `updates_replace` a sender's update reaches the room as Delete of the old id and
    Create of a new one; `denied` rights were withdrawn; `life` counts the mailbox's lives: a new one knows no old
    cookie; `mails` what would have gone out to people, in words.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str = "",
        settings: RoomSettings | None = None,
        now_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.address = address.lower()
        self.name = name or address.partition("@")[0]
        self.settings = settings or RoomSettings()
        self.updates_replace = False
        self.denied = False
        self.life = 1
        self.mails: list[str] = []
        self._now_s = now_s
        self._items: dict[str, Stored] = {}
        self._gone: dict[str, tuple[int, int]] = {}  # id → (version when made, version when gone)
        self._deleted: dict[str, Stored] = {}
        self._waiting: dict[str, float] = {}
        self._version = 0
        self._counter = 0

    # --- what the fakes read ---------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Grows with every change that the mailbox admits."""
        self._attend_due()
        return self._version

    @property
    def items(self) -> dict[str, Stored]:
        """What is in the calendar now, by item_id, in the order of making."""
        self._attend_due()
        return self._items

    def changes(self, since: int) -> tuple[Change, ...]:
        """What changed after that version, oldest first; an item made and gone in between is not named."""
        self._attend_due()
        found = [
            Change("create" if one.created > since else "update", one.id, one.version)
            for one in self._items.values()
            if one.version > since
        ]
        found += [
            Change("delete", item_id, at) for item_id, (made, at) in self._gone.items() if made <= since < at
        ]
        return tuple(sorted(found, key=lambda change: change.version))

    def find(self, uid: str) -> Stored | None:
        """The item of this UID, however it is spelled."""
        wanted = normalise_uid(uid)
        return next((one for one in self.items.values() if normalise_uid(one.uid) == wanted), None)

    def deleted(self, item_id: str) -> Stored | None:
        """A removed item: it can be read by its id for a long time."""
        return self._deleted.get(item_id)

    # --- other people's hands --------------------------------------------------------------------------------------

    def put(
        self,
        uid: str,
        master: Entry,
        overrides: tuple[Entry, ...] = (),
        *,
        item_id: str = "",
        **fields: object,
    ) -> Stored:
        """Somebody makes an item, or saves the one of this id again. `fields` are further ones of `Stored`."""
        before = self._items.get(item_id)
        self._version += 1
        if before is None:
            made = Stored(
                id=item_id or self._new_id(),
                change_key=self._key(),
                uid=uid,
                version=self._version,
                created=self._version,
                master=master,
                overrides=overrides,
                made_s=int(self._now_s()),
            )
        else:
            made = replace(
                before,
                uid=uid,
                master=master,
                overrides=overrides,
                change_key=self._key(),
                version=self._version,
            )
        made = replace(made, **fields)  # names are checked by the record itself
        self._gone.pop(made.id, None)
        self._items[made.id] = made
        return made

    def deliver(self, uid: str, master: Entry, overrides: tuple[Entry, ...] = ()) -> Stored:
        """A sender's invitation or update arrives: it stands there tentatively until the room attends to it."""
        before = self.find(uid)
        if before is not None and self.updates_replace:
            self.remove(before.id)
            before = None
        stored = self.put(
            uid, master, overrides, item_id="" if before is None else before.id, answer=Answer.TENTATIVE
        )
        if self.settings.attend_after_s is not None:
            self._waiting[stored.id] = self._now_s() + self.settings.attend_after_s
        return stored

    def attend(self, item_id: str = "") -> None:
        """The room's second step for one tentative item, or all: accept and rewrite it, or decline and drop it."""
        for one in [one for one in self._items.values() if one.id == item_id or not item_id]:
            self._waiting.pop(one.id, None)
            if one.answer is not Answer.TENTATIVE or not self.settings.auto_accept:
                continue
            if not self.settings.allow_conflicts and self._clashes(one):
                self.remove(one.id)
                self.mails.append(f"declined: {one.uid}")
                continue
            self.put(
                one.uid,
                self._rewritten(one.master),
                tuple(self._rewritten(entry) for entry in one.overrides),
                item_id=one.id,
                answer=Answer.ACCEPTED,
            )
            self.mails.append(f"accepted: {one.uid}")

    def cancel(self, uid: str, *, removes: bool = False) -> None:
        """The organizer cancels: the item stays as cancelled, or goes where the room removes such items."""
        one = self.find(uid)
        if one is None:
            return
        if removes:
            self.remove(one.id)
            return
        master = replace(one.master, cancelled=True, subject=f"Canceled: {one.master.subject}")
        self.put(one.uid, master, one.overrides, item_id=one.id)

    def remove(self, item_id: str) -> bool:
        """Somebody removes the item; it can still be read by its id. False when there is none."""
        one = self._items.pop(item_id, None)
        self._waiting.pop(item_id, None)
        if one is None:
            return False
        self._version += 1
        self._gone[item_id] = (one.created, self._version)
        self._deleted[item_id] = one
        if len(self._deleted) > DELETED_KEPT_MAX:
            del self._deleted[next(iter(self._deleted))]
        return True

    def hide(self, item_id: str, master: Entry, overrides: tuple[Entry, ...] = ()) -> None:
        """A change that is never reported: content differs, item_id, change key and version stay."""
        self._items[item_id] = replace(self._items[item_id], master=master, overrides=overrides)

    def back_up(self) -> Backup:
        """The mailbox as it is now."""
        gone = tuple((item_id, made, at) for item_id, (made, at) in self._gone.items())
        return Backup(tuple(self._items.values()), gone, self._version, self._counter)

    def restore(self, backup: Backup, *, new_life: bool = False) -> None:
        """The mailbox comes back from a backup, its counters too: new items get the ids and change keys of lost ones.

        Cookies from after the backup are then from the future. With `new_life` no old cookie is known.
        """
        self._items = {one.id: one for one in backup.items}
        self._gone = {item_id: (made, at) for item_id, made, at in backup.gone}
        self._deleted.clear()
        self._waiting.clear()
        self._version, self._counter = backup.version, backup.counter
        self.life += new_life

    # --- inside ----------------------------------------------------------------------------------------------------

    def _attend_due(self) -> None:
        if not self._waiting:
            return
        now = self._now_s()
        for item_id in [item_id for item_id, due in self._waiting.items() if due <= now]:
            self.attend(item_id)

    def _clashes(self, one: Stored) -> bool:
        """The first meeting of the item shares time with another item's, by their walls."""
        start, seconds = one.master.start, one.master.duration_s
        for other in self._items.values():
            if other.id == one.id or other.answer is Answer.TENTATIVE or other.master.cancelled:
                continue
            apart = (other.master.start - start).total_seconds()
            if -other.master.duration_s < apart < seconds:
                return True
        return False

    def _rewritten(self, entry: Entry) -> Entry:
        """What is left of an entry when the room has accepted it."""
        settings = self.settings
        subject = "" if settings.delete_subject else entry.subject
        if settings.add_organizer_to_subject:
            organizer = entry.organizer or Person("")
            subject = f"{organizer.name or organizer.email} {subject}".strip()
        return replace(
            entry,
            subject=subject,
            description="" if settings.delete_comments else entry.description,
            private=entry.private and not settings.remove_private,
        )

    def _new_id(self) -> str:
        """Opaque, of one mailbox, told apart by case, and as long as a real one: DavMail knows ids by that."""
        self._counter += 1
        digest = sha256(f"{self.address}\n{self._counter}".encode()).digest()
        return b64encode((digest * 4)[:ID_BYTES]).decode()

    def _key(self) -> str:
        return b64encode(f"CK{self._version:012d}".encode()).decode()


class Site:
    """The mailboxes of one organisation, by address."""

    def __init__(self, *, now_s: Callable[[], float] = lambda: 0.0) -> None:
        self.mailboxes: dict[str, Mailbox] = {}
        self._now_s = now_s

    def open(self, address: str, *, name: str = "", settings: RoomSettings | None = None) -> Mailbox:
        """The mailbox of this address, made when it is not there."""
        key = address.lower()
        if key not in self.mailboxes:
            self.mailboxes[key] = Mailbox(key, name=name, settings=settings, now_s=self._now_s)
        return self.mailboxes[key]

    def find(self, address: str) -> Mailbox | None:
        """The mailbox of this address in any case, or None."""
        return self.mailboxes.get(address.strip().lower())

    def invite(
        self, uid: str, master: Entry, overrides: tuple[Entry, ...] = (), *, rooms: tuple[str, ...]
    ) -> None:
        """Somebody invites these rooms: each gets its copy of the item under the same UID."""
        for address in rooms:
            self.open(address).deliver(uid, master, overrides)
