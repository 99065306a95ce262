"""MAPI properties of the fake's items as EWS clients ask for them: by tag, or by number in the appointment's set.

What a client has set itself is told back as it came; a few are made up of what the item is (MS-OXPROPS). Names are
`tag:0x37`, `Appointment:33315`, `PublicStrings:name`.
"""

from datetime import UTC, datetime
from html import escape
from xml.etree.ElementTree import Element

from meetkeeper.testing.fakes.mailbox import Stored

INSTANCE_TYPE = "PublicStrings:urn:schemas:calendar:instancetype"
_SETS = {
    "6ed8da90-450b-101b-98da-00aa003f1305": "Meeting",
    "00020329-0000-0000-c000-000000000046": "PublicStrings",
    "00062002-0000-0000-c000-000000000046": "Appointment",
}


def property_name(uri: Element) -> str:
    """The name of what an ExtendedFieldURI means."""
    tag = uri.get("PropertyTag")
    if tag:
        return f"tag:{int(tag, 0):#x}"
    place = uri.get("DistinguishedPropertySetId") or _SETS.get((uri.get("PropertySetId") or "").lower(), "?")
    number = uri.get("PropertyId")
    return f"{place}:{int(number, 0) if number else uri.get('PropertyName', '')}"


def told(stored: Stored, name: str) -> tuple[str, str] | None:
    """(type, value) of a property, or None where the item has none."""
    set_by_client = dict(stored.properties).get(name if name.startswith("tag:") else name.partition(":")[2])
    if set_by_client is not None:
        return "String", set_by_client
    touched = datetime.fromtimestamp(stored.version, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    repeats = bool(stored.master.rrule)
    return {
        "tag:0x36": ("Integer", "2" if stored.master.private else "0"),  # PidTagSensitivity
        "tag:0x37": ("String", stored.master.subject),  # PidTagSubject
        "tag:0xe23": ("Integer", str(stored.created)),  # PidTagInternetArticleNumber
        "tag:0x3008": ("SystemTime", touched),  # PidTagLastModificationTime
        "tag:0x10f3": (
            "String",
            f"{stored.id[:20].replace('/', '_').replace('+', '-')}.EML",
        ),  # its name in an address
        "Appointment:33315": ("Boolean", "true" if repeats else "false"),  # PidLidRecurring
        INSTANCE_TYPE: ("Integer", "1" if repeats else "0"),
    }.get(name)


def element(name: str, kind: str, value: str) -> str:
    """The ExtendedProperty element."""
    place, _, rest = name.partition(":")
    where = f'PropertyTag="{rest}"' if place == "tag" else f'DistinguishedPropertySetId="{place}" '
    if place != "tag":
        where += f'PropertyId="{rest}"' if rest.isdigit() else f'PropertyName="{escape(rest)}"'
    uri = f'<t:ExtendedFieldURI {where} PropertyType="{kind}"/>'
    return f"<t:ExtendedProperty>{uri}<t:Value>{escape(value)}</t:Value></t:ExtendedProperty>"
