"""The mailbox that the fake servers share: it changes, answers, hides and comes back as real ones do."""

from datetime import datetime

from msgspec.structs import replace

from meetkeeper.core.words import Entry, Person
from meetkeeper.testing.fakes.mailbox import VENDOR_DEFAULTS, Answer, Change, Mailbox, RoomSettings, Site

TALK = Entry(
    start=datetime(2026, 12, 1, 10),  # noqa: DTZ001 - a wall time
    duration_s=3_600,
    zone="Europe/Oslo",
    subject="Talk",
    description="Words",
    organizer=Person("ada@example.org", "Ada"),
    private=True,
)


def test_what_changed_is_named_once_and_by_its_last_change() -> None:
    """New, changed and removed items since a version; what came and went in between is not named."""
    mailbox = Mailbox("Oslo@Rooms.example")
    stays, changes, goes = (mailbox.put(uid, TALK) for uid in ("stays", "changes", "goes"))
    since = mailbox.version
    mailbox.put("changes", replace(TALK, subject="Other"), item_id=changes.id)
    brief = mailbox.put("brief", TALK)
    mailbox.remove(brief.id)
    new = mailbox.put("new", TALK)
    mailbox.remove(goes.id)
    assert [(one.kind, one.id) for one in mailbox.changes(since)] == [
        ("update", changes.id),
        ("create", new.id),
        ("delete", goes.id),
    ]
    assert {one.kind for one in mailbox.changes(0)} == {"create"}
    assert set(mailbox.items) == {stays.id, changes.id, new.id}
    assert mailbox.deleted(goes.id) == goes


def test_a_room_answers_in_two_steps() -> None:
    """First the real subject and no answer; then accepted, and rewritten as the room's settings say."""
    now = [0.0]
    settings = replace(VENDOR_DEFAULTS, attend_after_s=5.0)
    mailbox = Mailbox("oslo@rooms.example", settings=settings, now_s=lambda: now[0])
    stored = mailbox.deliver("a", TALK)
    assert (stored.answer, stored.master.subject) == (Answer.TENTATIVE, "Talk")
    now[0] = 5.0
    (after,) = mailbox.items.values()
    assert (after.answer, after.id) == (Answer.ACCEPTED, stored.id)
    assert (after.master.subject, after.master.description, after.master.private) == ("Ada", "", False)
    assert after.change_key != stored.change_key
    clash = mailbox.deliver("b", TALK)
    now[0] = 10.0
    assert set(mailbox.items) == {stored.id}
    assert mailbox.changes(after.version) == ()
    assert mailbox.deleted(clash.id) is not None
    assert mailbox.mails == ["accepted: a", "declined: b"]


def test_an_update_may_arrive_as_delete_and_create() -> None:
    """Where updates replace, the UID stays and the id does not."""
    mailbox = Mailbox("oslo@rooms.example")
    first = mailbox.deliver("a", TALK)
    since = mailbox.version
    mailbox.updates_replace = True
    second = mailbox.deliver("a", replace(TALK, subject="Moved"))
    assert first.id != second.id
    assert [one.kind for one in mailbox.changes(since)] == ["delete", "create"]


def test_a_restored_mailbox_gives_ids_and_keys_again() -> None:
    """After a restore another item bears the id and change key of a lost one, and a newer version says nothing."""
    mailbox = Mailbox("oslo@rooms.example")
    backup = mailbox.back_up()
    lost = mailbox.put("lost", TALK)
    since = mailbox.version
    mailbox.restore(backup)
    new = mailbox.put("new", TALK)
    assert (new.id, new.change_key) == (lost.id, lost.change_key)
    assert mailbox.changes(since) == ()
    assert mailbox.life == 1
    mailbox.restore(backup, new_life=True)
    assert mailbox.life == 2


def test_a_hidden_change_is_never_reported() -> None:
    """Content differs while id, change key and version stay."""
    mailbox = Mailbox("oslo@rooms.example")
    stored = mailbox.put("a", TALK)
    mailbox.hide(stored.id, replace(TALK, subject="Hidden"))
    (after,) = mailbox.items.values()
    assert after.master.subject == "Hidden"
    assert mailbox.changes(stored.version) == ()
    assert after.change_key == stored.change_key


def test_one_invitation_reaches_every_room() -> None:
    """Two rooms hold two items with two ids and one UID; a cancelled copy stays, or goes where the room removes it."""
    site = Site()
    site.open("b@x.example", settings=RoomSettings(attend_after_s=0.0))
    site.invite("a", TALK, rooms=("A@x.example", "b@x.example"))
    one, two = site.find("a@X.example"), site.find("b@x.example")
    assert one is not None
    assert two is not None
    first, second = one.find("a"), two.find("a")
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert (first.answer, second.answer) == (Answer.TENTATIVE, Answer.ACCEPTED)
    since = two.version
    one.cancel("a")
    two.cancel("a", removes=True)
    kept = one.find("a")
    assert kept is not None
    assert kept.master.cancelled
    assert two.changes(since) == (Change("delete", second.id, two.version),)
