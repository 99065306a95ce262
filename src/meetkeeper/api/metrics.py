"""Figures for Prometheus: what was asked of the door, and how the house stands at the moment somebody looks.

Counting costs one dictionary entry a request; everything else is gathered when /metrics is read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meetkeeper.api.gate import EngineStatus, Gate, Measured
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import Step
from meetkeeper.engine.status import PairStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TALLY_KEPT_S = 10.0
"""How long a count over all meetings is served again: a scraper must not make a big house count twice at once."""


class Counts:
    """Requests answered, by method, route and status."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self.streams = 0
        """Event streams open now."""

    def add(self, method: str, route: str, status: int) -> None:
        """One more answer."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1

    def items(self) -> list[tuple[tuple[str, str, int], int]]:
        """Every count so far."""
        return sorted(self._requests.items())


class Tally(Struct, frozen=True):
    """What there is in the state, counted."""

    meetings: dict[Step, int]
    outbox: dict[Status, int]
    rooms: int
    series: int
    held: int
    mended: int


class Metrics:
    """Renders the page."""

    def __init__(self, gate: Gate, counts: Counts) -> None:
        self._gate = gate
        self._counts = counts
        self._tally: Tally | None = None
        self._tally_at_s = 0.0

    async def render(self) -> bytes:
        """The page in the text format."""
        now_s = self._gate.engine.now_s()
        if self._tally is None or not 0 <= now_s - self._tally_at_s < TALLY_KEPT_S:
            self._tally, self._tally_at_s = await self._gate.engine.read(tally), now_s
        registry = CollectorRegistry()
        registry.register(_Page(self._gate.engine.status(), self._tally, self._counts, now_s))
        for measured in self._gate.measured:
            registry.register(_Foreign(measured))
        return generate_latest(registry)


def tally(state: State) -> Tally:
    """Count what there is."""
    return Tally(
        meetings=dict(Counter(kept.step for kept in state.meetings.values())),
        outbox=dict(Counter(row.status for row in state.outbox.values())),
        rooms=len(state.rooms),
        series=len(state.series),
        held=sum(news.held for news in state.rooms_news.values()),
        mended=sum(news.mended for news in state.rooms_news.values()),
    )


class _Foreign(Collector):
    """A collector somebody else filled."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterable[Metric]:
        """Its families."""
        return [family for family in self._measured.collect() if isinstance(family, Metric)]


class _Page(Collector):
    """Our own families, made from one look at the house."""

    def __init__(self, status: EngineStatus, tally: Tally, counts: Counts, now_s: float) -> None:
        self._status, self._tally, self._counts, self._now_s = status, tally, counts, now_s

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._server()
        if self._status.pair is not None:
            yield from _pair(self._status.pair)
        yield from self._house()
        yield from self._neighbours()
        requests = CounterMetricFamily(
            "meetkeeper_http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in self._counts.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests
        yield GaugeMetricFamily("meetkeeper_http_streams", "Event streams open.", value=self._counts.streams)

    def _server(self) -> Iterator[Metric]:
        status = self._status
        info = GaugeMetricFamily("meetkeeper_info", "This server.", labels=["server", "release", "role"])
        info.add_metric([status.server, status.release, status.role], 1)
        yield info
        active = float(status.role == "active" and not status.stopping)
        yield GaugeMetricFamily("meetkeeper_active", "1 while this server acts.", value=active)
        yield GaugeMetricFamily("meetkeeper_epoch", "The reign.", value=status.epoch)
        yield GaugeMetricFamily("meetkeeper_kept_seq", "Number of the last kept frame.", value=status.seq)
        yield GaugeMetricFamily(
            "meetkeeper_started_time_seconds", "When this process began.", value=status.started_at_s
        )

    def _house(self) -> Iterator[Metric]:
        meetings = GaugeMetricFamily("meetkeeper_meetings", "Meetings by state.", labels=["state"])
        for step in Step:
            meetings.add_metric([step.value], self._tally.meetings.get(step, 0))
        yield meetings
        outbox = GaugeMetricFamily("meetkeeper_outbox", "Effects not done yet, by status.", labels=["status"])
        for status in Status:
            if status is not Status.DONE:
                outbox.add_metric([status.value], self._tally.outbox.get(status, 0))
        yield outbox
        yield GaugeMetricFamily("meetkeeper_rooms", "Rooms configured.", value=self._tally.rooms)
        yield GaugeMetricFamily("meetkeeper_series", "Series kept.", value=self._tally.series)
        yield GaugeMetricFamily(
            "meetkeeper_brake_held", "Vanished items that brakes hold.", value=self._tally.held
        )

        mended = CounterMetricFamily(
            "meetkeeper_audit_mended", "Changes that calendars never reported and audits found."
        )
        mended.add_metric([], self._tally.mended)
        yield mended

    def _neighbours(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "meetkeeper_room_pass_age_seconds", "Since the room's calendar was last read.", labels=["room"]
        )
        failing = GaugeMetricFamily(
            "meetkeeper_room_failing", "1 while the room's calendar can't be read.", labels=["room"]
        )
        refused = CounterMetricFamily(
            "meetkeeper_room_cookies_refused", "Sync cookies that the calendar did not take.", labels=["room"]
        )
        audited = GaugeMetricFamily(
            "meetkeeper_room_audit_age_seconds",
            "Since the room's calendar was last audited.",
            labels=["room"],
        )
        for room in self._status.rooms:
            refused.add_metric([room.room], room.refused)
            if room.audited_s:
                audited.add_metric([room.room], max(0.0, self._now_s - room.audited_s))
            if room.last_pass_s:
                age.add_metric([room.room], max(0.0, self._now_s - room.last_pass_s))
            failing.add_metric([room.room], float(bool(room.error)))
        yield from (age, failing, refused, audited)
        bridges = GaugeMetricFamily("meetkeeper_bridge_up", "1 while the bridge answers.", labels=["bridge"])
        for bridge in self._status.bridges:
            bridges.add_metric([bridge.id], float(bool(bridge.ok)))
        yield bridges
        yield GaugeMetricFamily(
            "meetkeeper_mail_up", "1 while the mail server answers.", value=float(bool(self._status.mail.ok))
        )


VERDICTS = ("ready", "at risk", "not ready", "unknown")


def _pair(pair: PairStatus) -> Iterator[Metric]:
    """The pair, as this server sees it."""
    roles = GaugeMetricFamily(
        "meetkeeper_pair_role", "1 for the role a server has.", labels=["server", "role"]
    )
    roles.add_metric([pair.me, pair.role], 1)
    roles.add_metric([pair.peer, pair.peer_role], 1)
    yield roles
    ready = GaugeMetricFamily(
        "meetkeeper_pair_standby", "1 for the passive server's verdict about itself.", labels=["verdict"]
    )
    for verdict in VERDICTS:
        ready.add_metric([verdict], float(pair.ready == verdict))
    yield ready
    alarms = GaugeMetricFamily("meetkeeper_pair_alarm", "1 for each alarm that stands.", labels=["alarm"])
    for name, _ in pair.alarms:
        alarms.add_metric([name], 1)
    yield alarms
    for name, text, value in (
        ("linked", "1 while the other server is there.", float(pair.linked)),
        ("in_sync", "Servers that hold everything acknowledged.", float(len(pair.in_sync))),
        ("heard_age_seconds", "Since the other server was last heard.", pair.heard_s),
        ("behind_frames", "Frames that the passive server lacks.", float(pair.behind)),
        (
            "loss_frames",
            "Acknowledged frames that would be lost if this host vanished now.",
            float(pair.loss),
        ),
        ("both_disks", "1 while an answer is on both disks.", float(pair.durability == "both")),
        ("register_trouble", "1 while the register can't be used.", float(bool(pair.register_trouble))),
        ("maintenance_left_seconds", "So long no failover begins by itself.", pair.maintenance_left_s),
    ):
        yield GaugeMetricFamily(f"meetkeeper_pair_{name}", text, value=value)
