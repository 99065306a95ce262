"""What is asked of EWS: exchangelib's service requests with exactly the fields that `mapping` reads.

Each function gives what `EwsServer.ask` runs in a thread. Nothing here waits or retries.
"""

import base64
from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from typing import Any

from exchangelib.extended_properties import ExtendedProperty
from exchangelib.fields import ExtendedPropertyField, FieldPath
from exchangelib.items import CalendarItem
from exchangelib.services.common import EWSAccountService, shape_element
from exchangelib.util import create_element, safe_xml_value

from meetkeeper.calendars.exchange.line import API, Acting, Raw
from meetkeeper.calendars.exchange.mapping import LINK_PROPERTIES, OWN_PROPERTY, OWN_UID_PROPERTY, goid_of
from meetkeeper.calendars.exchange.patterns import Tree
from meetkeeper.calendars.exchange.soap import Node
from meetkeeper.calendars.exchange.terms import Ask
from meetkeeper.calendars.exchange.writing import Draft

UID_CHARS_MAX = 250
"""So much of a UID is put where it can be searched for."""
CHANGES_MAX = 512
"""Most changes in one answer: the server's own cap."""


class CleanGlobalObjectId(ExtendedProperty):  # type: ignore[misc] # an untyped package
    """PidLidCleanGlobalObjectId (MS-OXPROPS): the same bytes in every attendee's copy of a series."""

    distinguished_property_set_id = "Meeting"
    property_id = 0x23
    property_type = "Binary"


class Own(ExtendedProperty):  # type: ignore[misc] # an untyped package
    """Our own property of items that we wrote."""

    distinguished_property_set_id = "PublicStrings"
    property_name = OWN_PROPERTY
    property_type = "String"


class OwnUid(ExtendedProperty):  # type: ignore[misc] # an untyped package
    """The UID of items that we wrote, where it can be searched for."""

    distinguished_property_set_id = "PublicStrings"
    property_name = OWN_UID_PROPERTY
    property_type = "String"


class TeamsLink(ExtendedProperty):  # type: ignore[misc] # an untyped package
    """The link of a Teams meeting."""

    distinguished_property_set_id = "PublicStrings"
    property_name = LINK_PROPERTIES[0]
    property_type = "String"


class SkypeLink(ExtendedProperty):  # type: ignore[misc] # an untyped package
    """The link of a Skype for Business meeting."""

    distinguished_property_set_id = "PublicStrings"
    property_name = LINK_PROPERTIES[1]
    property_type = "String"


class SkypeConference(ExtendedProperty):  # type: ignore[misc] # an untyped package
    """The same meeting's SIP address."""

    distinguished_property_set_id = "PublicStrings"
    property_name = LINK_PROPERTIES[2]
    property_type = "String"


class _Crafted(Raw, EWSAccountService):  # type: ignore[misc] # an untyped package
    """An operation whose request is written here: the package's own wants objects of its own, and takes its time."""

    def __init__(self, operation: str, account: Acting) -> None:
        self.SERVICE_NAME = operation
        super().__init__(account=account)

    def ask(self, payload: Any) -> Iterable[Node]:
        """Send it."""
        return self._get_elements(payload)


_LISTED = ("item_class", "start", "end", "type")
_LOADED = (
    "item_class",
    "subject",
    "sensitivity",
    "text_body",
    "last_modified_time",
    "uid",
    "start",
    "end",
    "is_all_day",
    "is_cancelled",
    "my_response_type",
    "organizer",
    "required_attendees",
    "optional_attendees",
    "location",
    "resources",
    "appointment_sequence_number",
    "_start_timezone",
)
_MASTERS = ("recurrence", "modified_occurrences", "deleted_occurrences")


@cache
def _fields(*names: str, extended: bool = False) -> tuple[Any, ...]:
    paths = [FieldPath(field=CalendarItem.get_field_by_fieldname(name)) for name in names]
    if extended:
        for kind in (CleanGlobalObjectId, Own, TeamsLink, SkypeLink, SkypeConference):
            paths.append(FieldPath(field=ExtendedPropertyField(kind.__name__.lower(), value_cls=kind)))
    return tuple(paths)


@cache
def _spelled(names: tuple[str, ...], *, extended: bool) -> Any:
    return shape_element("m:ItemShape", "IdOnly", _fields(*names, extended=extended), API)


def _shape(names: tuple[str, ...], *, extended: bool) -> Any:
    """The shape of a request. Spelling one out takes longer than all the rest of it: it is done once, and copied."""
    return deepcopy(_spelled(names, extended=extended))


def calendar_of(mailbox: str) -> Any:
    """The mailbox's default calendar folder."""
    whose = _element("t:Mailbox", _element("t:EmailAddress", mailbox))
    return _element("t:DistinguishedFolderId", whose, Id="calendar")


def changes(mailbox: str, state: str) -> Ask:
    """SyncFolderItems: the next page after this state; of a first listing ("") with each item's time and kind."""

    def make(acting: Acting) -> Iterable[Node]:
        payload = _element(
            "m:SyncFolderItems",
            _shape(_LISTED, extended=False),
            _element("m:SyncFolderId", calendar_of(mailbox)),
            *([_element("m:SyncState", state)] if state else []),
            _element("m:MaxChangesReturned", str(CHANGES_MAX)),
            _element("m:SyncScope", "NormalItems"),
        )
        return _Crafted("SyncFolderItems", acting).ask(payload)

    return make


def items(ids: Sequence[str], *, masters: bool = True, series_of: Collection[str] = ()) -> Ask:
    """GetItem: these items, or these changed occurrences, which have no recurrence of their own.

    Of ids that are also in `series_of`, which are occurrences', the whole series is asked for.
    """

    def make(acting: Acting) -> Iterable[Node]:
        ids_asked = _element("m:ItemIds")
        for one in ids:
            if one in series_of:
                ids_asked.append(_element("t:RecurringMasterItemId", OccurrenceId=one))
            else:
                ids_asked.append(_element("t:ItemId", Id=one))
        wanted = (*_LOADED, *_MASTERS) if masters else _LOADED
        payload = _element("m:GetItem", _shape(wanted, extended=True), ids_asked)
        return _Crafted("GetItem", acting).ask(payload)

    return make


def view(mailbox: str, from_s: int, until_s: int) -> Ask:
    """FindItem with a CalendarView: ids, kinds and starts of what takes place in the span, series as occurrences."""
    begin, end = (f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}" for at_s in (from_s, until_s))

    def make(acting: Acting) -> Iterable[Node]:
        payload = _element(
            "m:FindItem",
            _shape(_LISTED, extended=False),
            _element("m:CalendarView", StartDate=begin, EndDate=end),
            _element("m:ParentFolderIds", calendar_of(mailbox)),
            Traversal="Shallow",
        )
        return _Crafted("FindItem", acting).ask(payload)

    return make


def folder(mailbox: str) -> Ask:
    """GetFolder: the calendar, to see whether it can be reached."""

    def make(acting: Acting) -> Iterable[Node]:
        wanted = [_element("t:FieldURI", FieldURI=f"folder:{name}") for name in ("DisplayName", "TotalCount")]
        payload = _element(
            "m:GetFolder",
            _element(
                "m:FolderShape",
                _element("t:BaseShape", "IdOnly"),
                _element("t:AdditionalProperties", *wanted),
            ),
            _element("m:FolderIds", calendar_of(mailbox)),
        )
        return _Crafted("GetFolder", acting).ask(payload)

    return make


# --- finding and writing --------------------------------------------------------------------------------------------


def with_uid(mailbox: str, uid: str) -> Ask:
    """FindItem: items whose clean global object id or our own property says this UID; whoever asks must compare."""
    tests = [
        _is_equal(_extended(CleanGlobalObjectId), base64.b64encode(goid_of(uid)).decode()),
        _is_equal(_extended(OwnUid), uid[:UID_CHARS_MAX]),
    ]

    def make(acting: Acting) -> Iterable[Node]:
        payload = _element(
            "m:FindItem",
            _element("m:ItemShape", _element("t:BaseShape", "IdOnly")),
            _element("m:IndexedPageItemView", MaxEntriesReturned="20", Offset="0", BasePoint="Beginning"),
            _element("m:Restriction", _element("t:Or", *tests)),
            _element("m:ParentFolderIds", calendar_of(mailbox)),
            Traversal="Shallow",
        )
        return _Crafted("FindItem", acting).ask(payload)

    return make


def create(mailbox: str, made: Draft, own: str) -> Ask:
    """CreateItem: a meeting of the mailbox itself. Nobody is mailed."""

    def make(acting: Acting) -> Iterable[Node]:
        fields = {uri: _tree(tree) for uri, tree in made.fields}
        before = [fields.pop(uri) for uri in [uri for uri in fields if uri.startswith("item:")]]
        properties = [_property(Own, own), _property(OwnUid, made.uid[:UID_CHARS_MAX])]
        item = _element("t:CalendarItem", *before, *properties, _element("t:UID", made.uid), *fields.values())
        payload = _element(
            "m:CreateItem",
            _element("m:SavedItemFolderId", calendar_of(mailbox)),
            _element("m:Items", item),
            SendMeetingInvitations="SendToNone",
        )
        return _Crafted("CreateItem", acting).ask(payload)

    return make


def update(name: str, made: Draft | None, own: str) -> Ask:
    """UpdateItem: these fields, or our own property alone. Nobody is mailed."""

    def make(acting: Acting) -> Iterable[Node]:
        changes = [
            _element(
                "t:SetItemField",
                _element("t:FieldURI", FieldURI=uri),
                _element("t:CalendarItem", _tree(tree)),
            )
            for uri, tree in (() if made is None else made.fields)
        ]
        changes.append(
            _element("t:SetItemField", _extended(Own), _element("t:CalendarItem", _property(Own, own)))
        )
        payload = _element(
            "m:UpdateItem",
            _element(
                "m:ItemChanges",
                _element("t:ItemChange", _element("t:ItemId", Id=name), _element("t:Updates", *changes)),
            ),
            ConflictResolution="AlwaysOverwrite",
            MessageDisposition="SaveOnly",
            SendMeetingInvitationsOrCancellations="SendToNone",
        )
        return _Crafted("UpdateItem", acting).ask(payload)

    return make


def change_occurrence(series: str, index: int, fields: Sequence[tuple[str, Tree]]) -> Ask:
    """UpdateItem: the nth occurrence that a series' pattern gives, from 1. Nobody is mailed."""

    def make(acting: Acting) -> Iterable[Node]:
        changes = [
            _element(
                "t:SetItemField",
                _element("t:FieldURI", FieldURI=uri),
                _element("t:CalendarItem", _tree(tree)),
            )
            for uri, tree in fields
        ]
        payload = _element(
            "m:UpdateItem",
            _element(
                "m:ItemChanges",
                _element("t:ItemChange", _occurrence(series, index), _element("t:Updates", *changes)),
            ),
            ConflictResolution="AlwaysOverwrite",
            MessageDisposition="SaveOnly",
            SendMeetingInvitationsOrCancellations="SendToNone",
        )
        return _Crafted("UpdateItem", acting).ask(payload)

    return make


def delete_occurrence(series: str, index: int) -> Ask:
    """DeleteItem: the nth occurrence that a series' pattern gives, from 1. Nobody is mailed."""

    def make(acting: Acting) -> Iterable[Node]:
        payload = _element(
            "m:DeleteItem",
            _element("m:ItemIds", _occurrence(series, index)),
            DeleteType="MoveToDeletedItems",
            SendMeetingCancellations="SendToNone",
        )
        return _Crafted("DeleteItem", acting).ask(payload)

    return make


def _occurrence(series: str, index: int) -> Any:
    return _element("t:OccurrenceItemId", RecurringMasterId=series, InstanceIndex=str(index))


def body(name: str) -> Ask:
    """GetItem: the body of one item as it is kept, HTML or text."""

    def make(acting: Acting) -> Iterable[Node]:
        payload = _element(
            "m:GetItem",
            _element(
                "m:ItemShape",
                _element("t:BaseShape", "IdOnly"),
                _element("t:BodyType", "Best"),
                _element("t:AdditionalProperties", _element("t:FieldURI", FieldURI="item:Body")),
            ),
            _element("m:ItemIds", _element("t:ItemId", Id=name)),
        )
        return _Crafted("GetItem", acting).ask(payload)

    return make


def set_body(name: str, change_key: str, text: str, kind: str) -> Ask:
    """UpdateItem: another body, `kind` HTML or Text, unless somebody was quicker. Nobody is mailed."""

    def make(acting: Acting) -> Iterable[Node]:
        new = _element("t:CalendarItem", _element("t:Body", text, BodyType=kind))
        change = _element("t:SetItemField", _element("t:FieldURI", FieldURI="item:Body"), new)
        item = _element("t:ItemId", Id=name, **({"ChangeKey": change_key} if change_key else {}))
        payload = _element(
            "m:UpdateItem",
            _element("m:ItemChanges", _element("t:ItemChange", item, _element("t:Updates", change))),
            ConflictResolution="NeverOverwrite" if change_key else "AutoResolve",
            MessageDisposition="SaveOnly",
            SendMeetingInvitationsOrCancellations="SendToNone",
        )
        return _Crafted("UpdateItem", acting).ask(payload)

    return make


def delete(name: str) -> Ask:
    """DeleteItem: to the deleted items, where people still find it. Nobody is mailed."""

    def make(acting: Acting) -> Iterable[Node]:
        payload = _element(
            "m:DeleteItem",
            _element("m:ItemIds", _element("t:ItemId", Id=name)),
            DeleteType="MoveToDeletedItems",
            SendMeetingCancellations="SendToNone",
        )
        return _Crafted("DeleteItem", acting).ask(payload)

    return make


def _element(tag: str, *inside: Any, **attributes: str) -> Any:
    element = create_element(tag, attrs=attributes or None)
    for one in inside:
        if isinstance(one, str):
            element.text = safe_xml_value(one)
        else:
            element.append(one)
    return element


def _tree(tree: Tree) -> Any:
    name, inside = tree
    if name in ("StartTimeZone", "EndTimeZone"):
        return _element(f"t:{name}", Id=str(inside))
    if name == "Body":
        return _element("t:Body", str(inside), BodyType="Text")
    if isinstance(inside, str):
        return _element(f"t:{name}", inside)
    return _element(f"t:{name}", *(_tree(one) for one in inside))


def _extended(kind: Any) -> Any:
    return ExtendedPropertyField(kind.__name__.lower(), value_cls=kind).field_uri_xml()


def _property(kind: Any, value: str) -> Any:
    return _element("t:ExtendedProperty", _extended(kind), _element("t:Value", value))


def _is_equal(field: Any, value: str) -> Any:
    constant = _element("t:FieldURIOrConstant", _element("t:Constant", Value=safe_xml_value(value)))
    return _element("t:IsEqualTo", field, constant)
