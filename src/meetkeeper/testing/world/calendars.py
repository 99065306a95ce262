"""Rooms' calendars in bad weather, as a server reads and writes them: pages cut, cookies unknown, answers lost."""

from collections.abc import Callable, Iterator
from random import Random

from meetkeeper.core.configuration import Config, NoCalendar
from meetkeeper.core.effects import AnnotateItem, WriteItem
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.events import Done, Outcome
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import Meeting, RoomId
from meetkeeper.engine import dispatch
from meetkeeper.itemtext.roomitem import room_item
from meetkeeper.ports.calendar import Page
from meetkeeper.testing.fakes.calendar import FakeCalendar
from meetkeeper.testing.world.weather import CALM, Weather


class RoomSource:
    """One room's calendar at the far end of a bad line."""

    def __init__(self, room: RoomId, config: Config, dice: Random, weather: Weather) -> None:
        configured = next(one for one in config.rooms if one.id == room)
        calendar = configured.calendar
        assert not isinstance(calendar, NoCalendar), "only rooms with a calendar have a source"
        emails = frozenset(one.email for one in config.rooms)
        self.room = room
        self.name = f"simulated:{room}"
        self.poll_s = calendar.poll_s
        self.fake = FakeCalendar(own_email=configured.email, room_emails=emails)
        self.weather = weather
        self._config = config
        self._dice = dice
        self._hiding = Random(f"{room}/{weather.hides}/{config.cluster.time_zone}/{self.poll_s}")

    def away(self, is_away: bool) -> None:  # noqa: FBT001 - a switch
        """Nobody reaches it, or everybody again."""
        self.fake.trouble = Unavailable("calendar-away", "The calendar is away.") if is_away else None

    def first_s(self) -> float:
        """Seconds until the first pass."""
        return self._dice.random() * min(self.poll_s, 5.0)

    def one_way_s(self) -> float:
        """How long a question or an answer travels."""
        return self._dice.random() * 0.2

    def changes(self, mark: str) -> Iterator[Page]:
        """`CalendarSource.changes`, in this weather."""
        weather, dice, fake = self.weather, self._dice, self.fake
        fake.page_items = weather.page_size
        fake.refuse_cookies = dice.random() < weather.cookie_refused
        fake.silent_full = dice.random() < weather.silent_full
        fake.repeats = dice.random() < weather.page_cut
        fake.hides = self._hiding.random() < weather.hides
        fake.cut_after = dice.randrange(4) if dice.random() < weather.page_cut else None
        return fake.pages_now(mark)

    def act(self, state: State, effect: WriteItem | AnnotateItem) -> Done | Callable[[], Outcome]:
        """What there is to do for the effect, as `engine.dispatch` would; `Done` when there is nothing."""
        if isinstance(effect, AnnotateItem):
            noted = dispatch.noted_by(state, effect)
            if isinstance(noted, Done):
                return noted
            of, block = noted
            return lambda: dispatch.annotated(block, found=self.annotate(of, block))
        found = dispatch.written_by(state, effect)
        if isinstance(found, Done):
            return found
        meeting, series = found
        uid = dispatch.uid_of(meeting, series)

        def written() -> Outcome:
            if effect.remove:
                self.remove(uid)
                return Done("removed")
            self.write(meeting, series)
            return Done("written")

        return written

    def write(self, meeting: Meeting | None, series: Series | None) -> None:
        """`CalendarSource.write` of the real text."""
        uid, text = room_item(self._config, meeting, series, 0.0)
        self._in_weather(lambda: self.fake.write_now(uid, text))

    def remove(self, uid: str) -> None:
        """`CalendarSource.remove`."""
        self._in_weather(lambda: self.fake.remove_now(uid))

    def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`."""
        known: list[bool] = []
        self._in_weather(lambda: known.append(self.fake.annotate_now(uid, block)))
        return known[-1]

    def _in_weather(self, write: Callable[[], None]) -> None:
        if self._dice.random() < self.weather.write_fails:
            if self._dice.random() < 0.5:
                write()
            raise Unavailable("calendar-lost", "The calendar did not answer.")
        write()

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.weather = CALM
        self.fake.trouble = None
        self.fake.hides = False
