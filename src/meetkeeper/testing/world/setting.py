"""The scene of one world, drawn from its seed: pace, date, rooms, bridges, mail, and the configuration that says so."""

from random import Random

from msgspec import Raw, Struct
from msgspec.structs import replace

from meetkeeper.core.changes import raw
from meetkeeper.core.configuration import (
    BrakeConfig,
    ClusterConfig,
    Config,
    IcsCalendar,
    JanusBridge,
    MailConfig,
    NoCalendar,
    RoomConfig,
    Secret,
    SyncConfig,
    TimeConfig,
    VmrConfig,
)

DATES = (1_804_066_200, 1_806_194_700, 1_824_940_000, 1_804_980_000, 1_835_391_600)
"""A Wednesday in March 2027, the eves of time changes in Europe and America, and a leap day."""
ZONES = ("UTC", "Europe/Oslo", "America/New_York", "Asia/Kolkata")


AUDIT_PACES = 120
"""A room is audited this often, in paces: several times in the life of a world."""


class Setting(Struct, frozen=True):
    """Where and when. `pace`: what takes a second in a quick world takes so many seconds in this one."""

    start_s: float
    pace: float
    config: Config

    def redrawn(self, dice: Random) -> Raw:
        """The same configuration with other times, as JSON."""
        drawn = draw_config(dice, self.pace)
        vmr = replace(
            self.config.vmr,
            retire_after_s=drawn.vmr.retire_after_s,
            tombstone_s=drawn.vmr.tombstone_s,
        )
        time = replace(drawn.time, keep_days=self.config.time.keep_days)
        return raw(replace(self.config, time=time, brake=drawn.brake, vmr=vmr))

    def shown(self) -> str:
        """On one line."""
        config = self.config
        rooms = " ".join(f"{room.id}:{type(room.calendar).__name__[:3]}" for room in config.rooms)
        return f"{rooms}, mail {config.mail.host or 'none'} {config.mail.unknown_fate}, {config.time}, {config.vmr}"


def draw_setting(dice: Random) -> Setting:
    """The scene of one world."""
    pace = dice.choice((1.0, 1.0, 1.0, 15.0, 60.0))
    return Setting(dice.choice(DATES) + dice.randrange(3_600), pace, draw_config(dice, pace))


def draw_config(dice: Random, pace: float) -> Config:
    """A configuration in which everything is quick enough to be seen."""
    rooms = tuple(_room(dice, number, pace) for number in range(dice.randrange(2, 7)))
    bridges = tuple(
        JanusBridge(
            id=f"b{number}",
            admin_url="http://bridge.example",
            admin_secret=Secret(value="s"),
            admin_key=Secret(value="k"),
        )
        for number in range(dice.choice((1, 1, 2)))
    )
    return Config(
        cluster=ClusterConfig(secret="0123456789abcdef" * 2, time_zone=dice.choice(ZONES)),
        rooms=rooms,
        bridges=bridges,
        vmr=VmrConfig(
            numeric_digits=dice.choice((9, 11)),
            each_occurrence=dice.random() < 0.25,
            retire_after_s=int(dice.choice((0, 30, 120)) * pace),
            tombstone_s=int(dice.choice((60, 600)) * pace),
        ),
        time=TimeConfig(
            verify_before_s=int(dice.choice((0, 60, 300)) * pace),
            open_before_s=int(dice.choice((0, 0, 30, 120)) * pace),
            warn_before_s=int(dice.choice((0, 30, 120)) * pace),
            horizon_days=dice.choice((1, 2, 7)),
            keep_days=1,
        ),
        sync=SyncConfig(audit_every_s=int(AUDIT_PACES * pace)),
        brake=BrakeConfig(items_min=dice.choice((0, 2, 5)), percent=dice.choice((0, 20, 50))),
        mail=MailConfig(
            host="mail.example" if dice.random() < 0.9 else "",
            unknown_fate=dice.choice(("resend", "hold")),
            tell_unprovisioned_after_s=int(dice.choice((5, 120)) * pace),
        ),
    )


def _room(dice: Random, number: int, pace: float) -> RoomConfig:
    calendar: IcsCalendar | NoCalendar = NoCalendar()
    if dice.random() < 0.75:
        calendar = IcsCalendar(
            folder=f"r{number}",
            poll_s=dice.choice((5.0, 30.0)) * pace,
            settle_s=min(300.0, dice.choice((0.0, 1.0, 5.0)) * pace),
            write=dice.random() < 0.7,
        )
    return RoomConfig(
        id=f"r{number}",
        email=f"r{number}@example.org",
        time_zone=dice.choice(("", *ZONES)),
        calendar=calendar,
        bridge=dice.choice(("", "", "b0")),
        write_back="mail" if number % 3 == 1 else "none",
        conflicts=dice.random() < 0.1,
    )
