"""The pair on the board: who acts, who stands by and whether it could take over, what lies between them."""

from msgspec import Struct

from meetkeeper.api.counted import counted
from meetkeeper.api.gate import EngineStatus
from meetkeeper.api.risks import is_silent
from meetkeeper.web.pages import span

ROLE_TONES = {"active": "good", "passive": "info", "claiming": "warn", "yielding": "warn"}
READY_TONES = {"ready": "good", "at risk": "warn", "not ready": "bad", "unknown": "unknown"}


class Half(Struct, frozen=True, kw_only=True):
    """One server of the two."""

    name: str
    role: str
    tone: str
    word: str
    """Of the passive one: its verdict."""
    word_tone: str
    here: bool


class PairPanel(Struct, frozen=True, kw_only=True):
    """Everything the panel shows. `link` and `link_tone` stand between the two."""

    halves: tuple[Half, ...]
    link: str
    link_tone: str
    facts: tuple[tuple[str, str, str], ...]
    """Name, value, tone (may be empty)."""
    reasons: tuple[str, ...]
    other: str
    """Where people reach the other server; empty: not known."""


def pair_panel(status: EngineStatus) -> PairPanel | None:
    """The panel; None for a server by itself."""
    pair = status.pair
    if pair is None:
        return None
    whole = pair.linked and len(pair.in_sync) > 1
    silent = is_silent(pair)
    link = "down" if not pair.linked else "silent" if silent else "in sync" if whole else "catching up"
    window = (
        (("Maintenance", f"{span(pair.maintenance_left_s)} left", "warn"),) if pair.maintenance_left_s else ()
    )
    frames = counted(pair.loss, "frame") if pair.loss else "nothing"
    return PairPanel(
        halves=(
            _half(pair.me, pair.role, pair.ready, here=True),
            _half(pair.peer, pair.peer_role, pair.ready, here=False),
        ),
        link=link,
        link_tone="bad" if silent or not pair.linked else "good" if whole else "warn",
        facts=(
            ("An answer is on", "both disks" if pair.durability == "both" else "one disk", ""),
            ("Behind", counted(pair.behind, "frame") if pair.behind else "nothing", ""),
            ("Possible loss", frames, "bad" if pair.loss else ""),
            (
                "Register",
                "trouble" if pair.register_trouble else "answers",
                "bad" if pair.register_trouble else "",
            ),
            *((("Last heard", f"{span(pair.heard_s)} ago", "bad"),) if silent else ()),
            *window,
        ),
        reasons=pair.reasons if pair.ready != "ready" else (),
        other=pair.peer_url,
    )


def _half(name: str, role: str, ready: str, *, here: bool) -> Half:
    passive = role == "passive"
    return Half(
        name=name,
        role=role,
        tone=ROLE_TONES.get(role, "unknown"),
        word=ready if passive else "",
        word_tone=READY_TONES.get(ready, "unknown"),
        here=here,
    )
