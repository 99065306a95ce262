"""The neighbours of a simulated server: bridges and a mail server in bad weather; the world as a server meets it."""

from collections.abc import Callable
from random import Random
from typing import Protocol, TypeVar, cast

from meetkeeper.core.effects import SendMail
from meetkeeper.core.errors import MeetkeeperError, Refused, Unavailable
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import Alias, EffectKey, Meeting, RoomId
from meetkeeper.ports.bridge import AliasTaken, Ensured, FoundVmr, WantedVmr
from meetkeeper.ports.clock import Clock
from meetkeeper.ports.mailer import FateUnknown
from meetkeeper.testing.fakes.bridge import FakeBridge
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.weather import Weather


class TimedOut(Exception):
    """No answer will come; the caller notices after a while and is told `error`."""

    def __init__(self, error: Unavailable) -> None:
        super().__init__(error.message)
        self.error = error


T = TypeVar("T")


def once(arrive: Callable[[], T]) -> Callable[[], T]:
    """A question that arrives once, whoever lets it: the answer, or the error, is the same ever after."""
    came: list[tuple[T | None, Exception | None]] = []

    def ask() -> T:
        if not came:
            try:
                came.append((arrive(), None))
            except (MeetkeeperError, FateUnknown, TimedOut) as trouble:
                came.append((None, trouble))
        answer, error = came[0]
        if error is not None:
            raise error
        return cast(T, answer)

    return ask


class SimulatedBridge:
    """A bridge at the far end of a line that loses questions and answers."""

    def __init__(self, name: str, dice: Random, weather: Weather) -> None:
        self.name = name
        self.fake = FakeBridge()
        self.weather = weather
        self._dice = dice

    def one_way_s(self) -> float:
        """How long a question or an answer travels."""
        return self._dice.random() * self.weather.bridge_slow_s

    def ensure(self, wanted: WantedVmr) -> Ensured | AliasTaken:
        """A question to ensure arrives. Raises `TimedOut` when it, or its answer, is lost on the way."""
        self._maybe_lost("the question")
        answer = self.fake.ensure_now(wanted)
        self._maybe_lost("the answer")
        return answer

    def retire(self, alias: Alias) -> None:
        """A question to retire arrives."""
        self._maybe_lost("the question")
        self.fake.retire_now(alias)
        self._maybe_lost("the answer")

    def survey(self) -> tuple[FoundVmr, ...]:
        """What stands there."""
        self._maybe_lost("the question")
        return self.fake.survey_now()

    def _maybe_lost(self, what: str) -> None:
        if self.weather.bridge_lost and self._dice.random() < self.weather.bridge_lost:
            raise TimedOut(Unavailable("timeout", f"Bridge {self.name} did not answer: {what} was lost."))


class Post:
    """A mail server. `away` turns everybody away; everything it accepted is told to the checkers."""

    def __init__(self, dice: Random, weather: Weather, happened: Callable[[seen.Happening], None]) -> None:
        self.weather = weather
        self.away = False
        self._dice = dice
        self._happened = happened

    def one_way_s(self) -> float:
        """How long a mail or an answer travels."""
        return self._dice.random() * self.weather.mail_slow_s

    def take(self, key: EffectKey, effect: SendMail, meeting: Meeting | None, series: Series | None) -> str:
        """A mail arrives. Raises what a mailer raises."""
        if self.away:
            raise Unavailable("mail-away", "The mail server does not answer.")
        weather, dice = self.weather, self._dice
        if dice.random() < weather.mail_later:
            self._happened(seen.Posted(key, effect, meeting, series, accepted=False))
            raise Unavailable("mail-later", "450 try again later", retry_after_s=dice.choice((1.0, 60.0)))
        if dice.random() < weather.mail_never:
            self._happened(seen.Posted(key, effect, meeting, series, accepted=False))
            raise Refused("mail-never", "550 no such mailbox")
        unclear = dice.random() < weather.mail_unclear
        if unclear and dice.random() < 0.5:
            self._happened(seen.Unclear(key, "the connection broke before the mail was taken"))
            raise FateUnknown("the connection broke")
        self._happened(seen.Posted(key, effect, meeting, series, accepted=True))
        if unclear:
            self._happened(seen.Unclear(key, "the connection broke after the mail was taken"))
            raise FateUnknown("the connection broke")
        return "250 taken"


class Outside(Protocol):
    """The world as a server meets it."""

    post: Post
    tick_s: float
    survey_s: float

    @property
    def clock(self) -> Clock:
        """This server's clock."""
        ...

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after so many seconds of true time."""
        ...

    def chance(self, probability: float) -> bool:
        """Throw dice."""
        ...

    def flush_s(self) -> float:
        """How long the disk takes this time."""
        ...

    def happened(self, happening: seen.Happening) -> None:
        """Let the checkers see."""
        ...

    def failed(self, server: object, error: MeetkeeperError) -> None:
        """The server drops its role and exits."""
        ...

    def bridge(self, bridge_id: str) -> SimulatedBridge:
        """The bridge of this name. Raises `Unavailable` when there is none."""
        ...

    def sources(self, state: State) -> list[RoomSource]:
        """Every room's calendar, as configured."""
        ...

    def source(self, state: State, room: RoomId) -> RoomSource | None:
        """One room's calendar."""
        ...
