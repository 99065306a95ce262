"""A VMR's facts → the address that is its room. Pure.

`{alias}`, `{pin}` and `{numeric_id}` in the pattern are filled in, percent-encoded; every other character stays as it
was written, braces included.
"""

import re
from urllib.parse import quote

from meetkeeper.ports.bridge import WantedVmr

_FIELD = re.compile(r"\{(alias|pin|numeric_id)\}")


def to_url(pattern: str, wanted: WantedVmr) -> str:
    """The address for this VMR."""
    values = {"alias": wanted.alias, "pin": wanted.pin, "numeric_id": wanted.numeric_id}
    return _FIELD.sub(lambda found: quote(values[found[1]], safe=""), pattern)
