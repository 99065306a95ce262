"""Programs that book by API: they ask, wait, ask again when nobody answered, and remember what was acknowledged."""

from collections.abc import Callable
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.commands import Amend, Book, Cancel, Command, Resend
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.words import MeetingId, Person, RoomId, Uid
from meetkeeper.testing.world.fibers import Answer, Ask, Caller, Pause
from meetkeeper.testing.world.weather import Weather

CAST = tuple(Person(f"p{number}@example.org", f"Person {number}") for number in range(12))
RECURRENCES = ("FREQ=DAILY;COUNT=3", "FREQ=DAILY", "FREQ=DAILY;INTERVAL=2;COUNT=2", "FREQ=WEEKLY;COUNT=2")
PATIENCE = 400
"""How often a caller asks again before a test calls it lost."""


class View(Struct, frozen=True, kw_only=True):
    """A meeting as a caller believes it to be."""

    rooms: tuple[RoomId, ...]
    subject: str
    start_s: int
    end_s: int
    invitees: tuple[Person, ...]
    cancelled: bool = False


class Booking(Struct, kw_only=True):
    """What one caller remembers of a meeting. `views`: what it may look like; one, unless an answer was lost."""

    id: MeetingId
    uid: Uid
    command: Book
    views: list[View]
    touched: bool = False
    """Somebody else changed it, in a calendar."""
    lost: bool = False
    """The server that acknowledged it has lost everything."""


class People:
    """What callers share: the dice, the rooms, the clock, and the list of bookings."""

    def __init__(
        self, dice: Random, weather: Weather, rooms: list[RoomId], now_s: Callable[[], float]
    ) -> None:
        self.dice = dice
        self.weather = weather
        self.rooms = rooms
        self.now_s = now_s
        self.pace = 1.0
        self.bookings: list[Booking] = []
        self.on_new: Callable[[Uid], None] = lambda uid: None
        self.stopped = False
        self._count = 0
        self._to_book_again: list[Book] = []

    def caller(self) -> Caller[None]:
        """One program's life: a request now and then, each until it has a definite answer."""
        mine: list[Booking] = []
        while not self.stopped:
            mine = [booking for booking in mine if not booking.lost]
            yield Pause(self.dice.expovariate(1.0 / (self.weather.api_rate * self.pace)))
            if self.stopped:
                return
            lot = self.dice.random()
            if not mine or lot < 0.5:
                yield from self._book(mine)
            elif lot < 0.75:
                yield from self._amend(self.dice.choice(mine))
            elif lot < 0.85:
                yield from self._cancel(self.dice.choice(mine))
            elif lot < 0.95:
                yield from self._upsert(self.dice.choice(mine))
            else:
                yield from self._ask(Resend(self.dice.choice(mine).id))

    def forget(self) -> None:
        """Everything acknowledged is lost; who names meetings books them again."""
        for booking in self.bookings:
            booking.lost = True
            if booking.command.uid is not None and not booking.views[-1].cancelled:
                self._to_book_again.append(booking.command)
        self.bookings.clear()

    def _ask(self, command: Command, booking: Booking | None = None) -> Caller[tuple[Answer, bool]]:
        """The definite answer, and whether an earlier try may have worked although nobody answered it.

        Who hears that the booking is lost does not ask any more.
        """
        unclear = False
        for _ in range(PATIENCE):
            if booking is not None and booking.lost:
                return Unavailable("lost", "It is known to be lost."), True
            hasty = self.dice.random() < self.weather.api_hasty
            answer = yield Ask(command, patient=not hasty)
            if answer is not None and not isinstance(answer, Unavailable):
                return answer, unclear
            unclear = True
            yield Pause(self.dice.choice((0.1, 1.0, 5.0)) * self.pace)
        raise AssertionError(f"nobody answered {command} for {PATIENCE} times")

    def _book(self, mine: list[Booking]) -> Caller[None]:
        again = bool(self._to_book_again)
        command = self._to_book_again.pop() if again else self._new_book()
        answer, _ = yield from self._ask(command)
        if isinstance(answer, str):
            booking = Booking(
                id=MeetingId(answer), uid=uid_of(command), command=command, views=[view_of(command)]
            )
            # A calendar may still hold a copy from the history that was lost, and that is newer.
            booking.touched = again
            mine.append(booking)
            self.bookings.append(booking)

    def _new_book(self) -> Book:
        self._count += 1
        dice = self.dice
        start_s, end_s = self._span()
        key = (f"key-{self._count}", f"hash-{self._count}")
        named = dice.random() < 0.3
        command = Book(
            rooms=self._some_rooms(),
            subject=f"Booked {self._count}",
            organizer=dice.choice(CAST),
            start_s=start_s,
            end_s=end_s,
            time_zone=dice.choice(("UTC", "Europe/Oslo", "Asia/Kolkata")),
            nonce=f"nonce-{self._count}",
            invitees=self._some_people(),
            uid=Uid(f"named-{self._count}@example.org") if named else None,
            idempotency=None if named else key,
            vmr=dice.random() < 0.9,
            recurrence=dice.choice(RECURRENCES) if dice.random() < 0.15 else "",
        )
        self.on_new(uid_of(command))
        return command

    def _span(self) -> tuple[int, int]:
        dice, pace = self.dice, self.pace
        start_s = self.now_s() + dice.uniform(-1, 20) * 60 * pace
        start_s -= start_s % 60
        length_s = dice.choice((60, 120, 300, 600, 1_200)) * pace
        return int(start_s), max(int(start_s + length_s), int(self.now_s()) + 30)

    def _some_rooms(self) -> tuple[RoomId, ...]:
        count = 1 if self.dice.random() < 0.8 else min(2, len(self.rooms))
        return tuple(sorted(self.dice.sample(self.rooms, count)))

    def _some_people(self) -> tuple[Person, ...]:
        return tuple(self.dice.sample(CAST, self.dice.randrange(4)))

    def _amend(self, booking: Booking) -> Caller[None]:
        known = booking.views[-1]
        what = self.dice.randrange(4)
        start_s, end_s = self._span() if what == 0 else (known.start_s, known.end_s)
        if what == 1:
            end_s += int(300 * self.pace)
        command = Amend(
            id=booking.id,
            rooms=known.rooms,
            subject=f"{known.subject}!" if what == 2 else known.subject,
            invitees=self._some_people() if what == 3 else known.invitees,
            start_s=start_s,
            end_s=end_s,
        )
        wanted = replace(
            known,
            subject=command.subject,
            invitees=command.invitees,
            start_s=start_s,
            end_s=end_s,
            cancelled=False,
        )
        yield from self._change(booking, command, wanted)

    def _cancel(self, booking: Booking) -> Caller[None]:
        whole = bool(booking.command.recurrence) and self.dice.random() < 0.5
        command = Cancel(id=booking.id, whole_series=whole)
        yield from self._change(booking, command, replace(booking.views[-1], cancelled=True))

    def _upsert(self, booking: Booking) -> Caller[None]:
        if booking.command.uid is None:
            yield from self._book_again(booking)
            return
        known = booking.views[-1]
        start_s, end_s = self._span() if self.dice.random() < 0.5 else (known.start_s, known.end_s)
        command = replace(booking.command, start_s=start_s, end_s=end_s, subject=f"{known.subject}?")
        yield from self._change(booking, command, view_of(command))

    def _book_again(self, booking: Booking) -> Caller[None]:
        """The same request with the same key is answered with the same meeting, whatever became of it."""
        answer, _ = yield from self._ask(booking.command, booking)
        if isinstance(answer, str) and answer != booking.id and not booking.lost:
            raise AssertionError(f"the same Idempotency-Key gave {answer} after {booking.id}")

    def _change(self, booking: Booking, command: Command, wanted: View) -> Caller[None]:
        before = list(booking.views)
        booking.views.append(wanted)
        answer, unclear = yield from self._ask(command, booking)
        if isinstance(answer, str):
            booking.id = MeetingId(answer)
            booking.views = [wanted]
        elif not unclear:
            booking.views = before


def uid_of(command: Book) -> Uid:
    """The UID that this booking gets."""
    return command.uid or Uid(f"{command.nonce}@meetkeeper.meetkeeper")


def view_of(command: Book) -> View:
    """What a caller expects of this booking."""
    return View(
        rooms=command.rooms,
        subject=command.subject,
        start_s=command.start_s,
        end_s=command.end_s,
        invitees=command.invitees,
    )
