"""Our words ↔ Janus VideoRoom's: requests as plain dictionaries, answers as records. Pure.

A VMR is a VideoRoom whose id is the alias. The room's secret (who may edit and destroy it) and its *shut PIN* are
derived from one key, so a standby knows them too, and so does a server that has lost all but its configuration.

**Phases are PINs.** Janus knows no "not yet" and no "over". While a VMR is BOOKED or CLOSED its room has the shut PIN,
128 bits that nobody was told; OPEN sets the real one. The other way, Janus' list of allowed tokens, is not kept in its
rooms file: a room that is guarded by it comes back unguarded after a restart.

**Only open rooms are permanent.** Janus rewrites its whole rooms file for each permanent change, in place, under one
lock: 40 ms a room at a thousand rooms, and a crash meanwhile leaves a torn file without Janus' own settings. A room
with the shut PIN is of no use without us, and we make it again; an open one lets people back in after a restart even
if no server of ours runs. So the file holds the meetings that are on, and writing it takes a millisecond or two.
"""

import hmac

import msgspec
from msgspec import Struct

from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable
from meetkeeper.core.vmr import marker_lineage
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import FoundVmr, WantedVmr

PLUGIN = "janus.plugin.videoroom"
BEACON = "meetkeeper-beacon"
"""A room that nobody can join and that dies with the Janus process: whoever finds another one sees a restart."""
PUBLISHERS_MAX = 100
BITRATE_BITS_PER_S = 1_500_000
TITLE_CHARS_MAX = 200

# The VideoRoom's error codes (426 to 433) and the core's; Janus names them in its sources alone.
NO_SUCH_ROOM = 426
ROOM_EXISTS = 427
_KEY_MISSING = 429
_ROOM_NOT_A_NUMBER = 430
_KEY_WRONG = 433
_ADMIN_SECRET_WRONG = 403
_NOT_THE_ADMIN_PORT = frozenset({453, 457})
_NO_SUCH_PLUGIN = 460

Request = dict[str, object]


class Listed(Struct, frozen=True):
    """One room as Janus lists it (a number where `string_ids` is not set); PIN and secret are never shown."""

    room: str | int
    description: str = ""
    num_participants: int = 0


class _Error(Struct, frozen=True):
    code: int
    reason: str = ""


class Response(Struct, frozen=True):
    """What the plugin says. `error_code` 0 means that it did as asked."""

    videoroom: str = ""
    error_code: int = 0
    error: str = ""
    permanent: bool | None = None
    exists: bool = False
    rooms: tuple[Listed, ...] = msgspec.field(default=(), name="list")
    allowed: tuple[str, ...] = ()


class _Envelope(Struct, frozen=True):
    janus: str
    error: _Error | None = None
    response: Response | None = None


class Info(Struct, frozen=True, rename={"server_name": "server-name"}):
    """Who answers."""

    janus: str
    name: str = ""
    version_string: str = ""
    server_name: str = ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_info = msgspec.json.Decoder(Info).decode


# --- derived secrets -------------------------------------------------------------------------------------------------


def room_secret(key: str, alias: str) -> str:
    """What edits and destroys this room: the same on every server that has the key."""
    return _derive(key, "secret", alias)


def shut_pin(key: str, alias: str) -> str:
    """The PIN that nobody is told: the room's while its meeting is not open."""
    return _derive(key, "shut", alias)


def _derive(key: str, what: str, alias: str) -> str:
    return hmac.digest(key.encode(), f"janus|{what}|{alias}".encode(), "sha256").hex()[:32]


# --- markers ---------------------------------------------------------------------------------------------------------


def description(wanted: WantedVmr) -> str:
    """What stands in the room's description: marker, phase, and the title on one line; people read it too."""
    line = " ".join(wanted.title.encode("utf-8", "replace").decode("utf-8").split())
    title = "".join(char for char in line if char.isprintable())[:TITLE_CHARS_MAX]
    return f"{wanted.marker} {wanted.phase} {title}".rstrip()


def marker_of(text: str, alias: Alias) -> str | None:
    """The marker in a description when it is one of ours for this alias, whatever lineage and attempt; else None."""
    marker = text.partition(" ")[0]
    return marker if marker_lineage(marker, alias) is not None else None


def phase_of(text: str) -> Phase | None:
    """The phase in a description of ours; None when it names none. It is changed in one stroke with the PIN."""
    word = text.partition(" ")[2].partition(" ")[0]
    return Phase(word) if word in set(Phase) else None


def may_be_kept(text: str) -> bool:
    """Whether a room with this description may stand in Janus' rooms file with its real PIN."""
    return phase_of(text) not in (Phase.BOOKED, Phase.CLOSED)


def found_vmr(listed: Listed) -> FoundVmr | None:
    """A listed room as a VMR of ours; None when it is somebody else's."""
    alias = Alias(str(listed.room))
    marker = marker_of(listed.description, alias)
    if marker is None:
        return None
    return FoundVmr(alias, marker, listed.num_participants, phase_of(listed.description))


# --- requests --------------------------------------------------------------------------------------------------------


def pin_for(wanted: WantedVmr, key: str) -> str:
    """The real PIN while OPEN, the shut one otherwise."""
    return wanted.pin if wanted.phase is Phase.OPEN else shut_pin(key, wanted.alias)


def create(wanted: WantedVmr, key: str, admin_key: str) -> Request:
    """Make the room as wanted. `require_pvtid`: only who stands in the list of participants can watch."""
    return {
        "request": "create",
        "admin_key": admin_key,
        "room": wanted.alias,
        "secret": room_secret(key, wanted.alias),
        "pin": pin_for(wanted, key),
        "description": description(wanted),
        "is_private": True,
        "require_pvtid": True,
        "notify_joining": True,
        "lock_record": True,
        "publishers": PUBLISHERS_MAX,
        "bitrate": BITRATE_BITS_PER_S,
        "permanent": wanted.phase is Phase.OPEN,
    }


def edit(wanted: WantedVmr, key: str, found: str) -> Request:
    """Bring an existing room of ours, with the description `found`, to what is wanted; works with people inside."""
    return {
        "request": "edit",
        "room": wanted.alias,
        "secret": room_secret(key, wanted.alias),
        "new_pin": pin_for(wanted, key),
        "new_description": description(wanted),
        "new_is_private": True,
        "new_require_pvtid": True,
        "new_lock_record": True,
        "new_publishers": PUBLISHERS_MAX,
        "new_bitrate": BITRATE_BITS_PER_S,
        "permanent": wanted.phase is Phase.OPEN or may_be_kept(found),
    }


def destroy(alias: str, key: str) -> Request:
    """Take the room away, from the rooms file too, and put everybody out."""
    return {"request": "destroy", "room": alias, "secret": room_secret(key, alias), "permanent": True}


def exists(alias: str) -> Request:
    """Ask whether a room has this id."""
    return {"request": "exists", "room": alias}


def list_rooms(admin_key: str) -> Request:
    """Every room, private ones too."""
    return {"request": "list", "admin_key": admin_key}


def light_beacon(admin_key: str, instance: str) -> Request:
    """Make the beacon with `instance` written in it; refused with `ROOM_EXISTS` while one is lit."""
    return {
        "request": "create",
        "admin_key": admin_key,
        "room": BEACON,
        "secret": room_secret(admin_key, BEACON),
        "pin": shut_pin(admin_key, BEACON),
        "description": "meetkeeper: changes when Janus restarts",
        "is_private": True,
        "allowed": [instance],
        "permanent": False,
    }


def read_beacon(admin_key: str) -> Request:
    """Ask what is written in the beacon: its list of allowed tokens, to which nothing is added."""
    secret = room_secret(admin_key, BEACON)
    return {"request": "allowed", "action": "add", "allowed": [], "room": BEACON, "secret": secret}


# --- answers ---------------------------------------------------------------------------------------------------------


def response_of(body: bytes, bridge: str) -> Response:
    """What the plugin answered through the admin interface; Janus' own errors become ours.

    Raises `TheirMistake` when this is not Janus' JSON, `Refused` or `Unavailable` when Janus itself says no.
    """
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_janus(bridge, str(error)) from None
    if envelope.error is not None:
        raise _core_error(envelope.error, bridge)
    if envelope.response is None:
        raise not_janus(bridge, f"an answer {envelope.janus!r} without a response")
    return envelope.response


def info_of(body: bytes, bridge: str) -> Info:
    """Name and version of the Janus that answered.

    Raises `TheirMistake` when this is not Janus' JSON.
    """
    try:
        return _decode_info(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_janus(bridge, str(error)) from None


def not_janus(bridge: str, what: str) -> TheirMistake:
    """Something else than Janus answers at the configured address."""
    return TheirMistake(
        "janus-answer",
        f"Bridge {bridge}: what answered does not speak Janus' admin protocol ({what}). "
        "Check that admin_url is the address of Janus' admin interface (…:7088/admin) and not of its public one.",
    )


def refusal(response: Response, bridge: str, alias: str = "") -> MeetkeeperError:
    """The plugin's error as ours, naming the setting that has to change. `alias`: whose room secret was shown."""
    told = f"Bridge {bridge}: Janus answered {response.error_code} “{response.error}”"
    code = response.error_code
    if code in (_KEY_MISSING, _KEY_WRONG) and not alias:
        return Refused(
            "janus-admin-key",
            f"{told}. The bridge's admin_key in the configuration differs from admin_key in "
            "janus.plugin.videoroom.jcfg; make them the same.",
        )
    if code in (_KEY_MISSING, _KEY_WRONG):
        return Refused(
            "janus-room-secret",
            f"{told} about room {alias}, which carries our marker and was made with another cluster secret. Bring "
            f"that secret back, or remove “room-{alias}” from janus.plugin.videoroom.jcfg and restart Janus; "
            "the room is made again by itself.",
        )
    if code == _ROOM_NOT_A_NUMBER:
        return Refused(
            "janus-string-ids",
            f"{told}. Set string_ids = true in janus.plugin.videoroom.jcfg, check that Janus can read that file, and "
            "restart Janus.",
        )
    return Refused("janus-refused", f"{told}. Look into Janus' log, mend the cause and release the request.")


def _core_error(error: _Error, bridge: str) -> MeetkeeperError:
    told = f"Bridge {bridge}: Janus answered {error.code} “{error.reason}”"
    if error.code == _ADMIN_SECRET_WRONG:
        return Refused(
            "janus-admin-secret",
            f"{told}. The bridge's admin_secret in the configuration differs from admin_secret in janus.jcfg; "
            "make them the same.",
        )
    if error.code in _NOT_THE_ADMIN_PORT:
        return not_janus(bridge, f"{error.code} “{error.reason}”")
    if error.code == _NO_SUCH_PLUGIN:
        return Refused(
            "janus-plugin",
            f"{told}. Enable libjanus_videoroom.so in the plugins section of janus.jcfg and restart Janus.",
        )
    return Unavailable("janus-error", f"{told}. It is asked again by itself; Janus' log says more.")
