"""SOAP envelopes of the fake: what a request says, and success, errors and both forms of faults as answers."""

from collections.abc import Iterator
from html import escape
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring
from msgspec import Struct

from meetkeeper.testing.fakes.exchange.items import Shape
from meetkeeper.testing.fakes.exchange.mapi import property_name

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
MES = "{http://schemas.microsoft.com/exchange/services/2006/messages}"
TYP = "{http://schemas.microsoft.com/exchange/services/2006/types}"
_NAMES = (
    'xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"'
    ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"'
)
_VERSION = (
    '<t:ServerVersionInfo MajorVersion="15" MinorVersion="2" MajorBuildNumber="2562" MinorBuildNumber="17" '
)
_HEADER = f'<s:Header>{_VERSION}Version="V2017_07_11"/></s:Header>'


class Asked(Struct, frozen=True):
    """One operation: its name, its element, and as whom it is asked."""

    name: str
    element: Element
    acting_as: str


def read(body: bytes) -> Asked | None:
    """What the request asks; None for anything that is no SOAP request."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, ValueError):
        return None
    inside = root.find(f"{SOAP}Body")
    if inside is None or not len(inside):
        return None
    who = next(root.iter(f"{TYP}ConnectingSID"), None)
    acting_as = "" if who is None or not len(who) else (who[0].text or "").strip().lower()
    return Asked(inside[0].tag.rpartition("}")[2], inside[0], acting_as)


def shape_of(operation: Element) -> Shape:
    """The item shape of a request."""
    shape = operation.find(f"{MES}ItemShape")
    if shape is None:
        return Shape()
    base = (shape.findtext(f"{TYP}BaseShape") or "").strip()
    fields = {one.get("FieldURI", "") for one in shape.iter(f"{TYP}FieldURI")}
    fields |= {property_name(one) for one in shape.iter(f"{TYP}ExtendedFieldURI")}
    text = (shape.findtext(f"{TYP}BodyType") or "").strip() == "Text"
    if (shape.findtext(f"{TYP}IncludeMimeContent") or "").strip() == "true":
        fields.add("item:MimeContent")
    return Shape(whole=base != "IdOnly", fields=frozenset(fields), text_body=text)


def ids_in(operation: Element) -> Iterator[str]:
    """The item ids of a request."""
    ids = operation.find(f"{MES}ItemIds")
    for one in [] if ids is None else list(ids):
        yield one.get("Id", "") or one.get("RecurringMasterId", "") or one.get("OccurrenceId", "")


def envelope(inside: str) -> bytes:
    """A whole answer."""
    text = f'<?xml version="1.0" encoding="utf-8"?><s:Envelope {_NAMES}>{_HEADER}<s:Body>{inside}</s:Body></s:Envelope>'
    return text.encode()


def response(name: str, *messages: str) -> bytes:
    """The answer to an operation: response messages."""
    return envelope(
        f"<m:{name}Response><m:ResponseMessages>{''.join(messages)}</m:ResponseMessages></m:{name}Response>"
    )


def success(name: str, inside: str) -> str:
    """A response message that went well."""
    return (
        f'<m:{name}ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"{inside}</m:{name}ResponseMessage>"
    )


def failure(name: str, code: str, inside: str = "", text: str = "It can't be done.") -> str:
    """A response message that says why not."""
    return (
        f'<m:{name}ResponseMessage ResponseClass="Error"><m:MessageText>{escape(text)}</m:MessageText>'
        f"<m:ResponseCode>{code}</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>"
        f"{inside}</m:{name}ResponseMessage>"
    )


def fault(
    code: str, text: str = "It can't be done.", back_off_ms: int | None = None, *, bare: bool = False
) -> bytes:
    """A SOAP fault: with its code in the detail as Exchange writes it, or bare, as the faultcode itself."""
    if bare:
        return envelope(
            f"<s:Fault><faultcode>{code}</faultcode><faultstring>{escape(text)}</faultstring></s:Fault>"
        )
    wait = (
        ""
        if back_off_ms is None
        else f'<t:MessageXml><t:Value Name="BackOffMilliseconds">{back_off_ms}</t:Value></t:MessageXml>'
    )
    errors = "http://schemas.microsoft.com/exchange/services/2006/errors"
    return envelope(
        f'<s:Fault><faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:{code}</faultcode>'
        f'<faultstring xml:lang="en-US">{escape(text)}</faultstring><detail>'
        f'<e:ResponseCode xmlns:e="{errors}">{code}</e:ResponseCode><e:Message xmlns:e="{errors}">{escape(text)}'
        f"</e:Message>{wait}</detail></s:Fault>"
    )
