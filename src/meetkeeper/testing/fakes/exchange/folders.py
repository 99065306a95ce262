"""Folders that clients make for themselves, and a user's options: what whole-mailbox clients (DavMail) need besides."""

from html import escape
from typing import TYPE_CHECKING

from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.soap import MES, TYP
from meetkeeper.testing.fakes.mailbox import Mailbox

if TYPE_CHECKING:
    from meetkeeper.testing.fakes.exchange.server import FakeExchange


def create_folder(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """CreateFolder: a calendar beside the room's own, in which nobody else looks."""
    messages = []
    for one in asked.element.find(f"{MES}Folders") or ():
        name = one.findtext(f"{TYP}DisplayName") or ""
        made = Mailbox(f"{asked.acting_as}|{name}", name=name)
        fake.folders[made.address] = made
        told = (
            f'<t:CalendarFolder><t:FolderId Id="{escape(made.address)}" ChangeKey="AQ=="/></t:CalendarFolder>'
        )
        messages.append(soap.success("CreateFolder", f"<m:Folders>{told}</m:Folders>"))
    return soap.response("CreateFolder", *messages)


def delete_folder(fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """DeleteFolder: only of those that were made here."""
    messages = []
    for one in asked.element.find(f"{MES}FolderIds") or ():
        gone = fake.folders.pop(one.get("Id", ""), None)
        well = gone is not None
        messages.append(
            soap.success("DeleteFolder", "") if well else soap.failure("DeleteFolder", "ErrorItemNotFound")
        )
    return soap.response("DeleteFolder", *messages)


def made_in(fake: "FakeExchange", acting_as: str, name: str) -> list[Mailbox]:
    """Folders of this name, or all, that a mailbox's clients have made."""
    own = [one for key, one in fake.folders.items() if key.startswith(f"{acting_as}|")]
    return [one for one in own if not name or one.name == name]


def get_user_configuration(_fake: "FakeExchange", asked: soap.Asked) -> bytes:
    """GetUserConfiguration: of the options of Outlook on the web the time zone, and nothing else."""
    name = asked.element.find(f"{MES}UserConfigurationName")
    if name is None or name.get("Name") != "OWA.UserOptions":
        return soap.response(
            "GetUserConfiguration", soap.failure("GetUserConfiguration", "ErrorItemNotFound")
        )
    pairs = "".join(
        f"<t:Dictionary{part}><t:Type>String</t:Type><t:Value>{value}</t:Value></t:Dictionary{part}>"
        for part, value in (("Key", "timezone"), ("Value", "W. Europe Standard Time"))
    )
    inside = (
        '<m:UserConfiguration><t:UserConfigurationName Name="OWA.UserOptions"/>'
        f"<t:Dictionary><t:DictionaryEntry>{pairs}</t:DictionaryEntry></t:Dictionary></m:UserConfiguration>"
    )
    return soap.response("GetUserConfiguration", soap.success("GetUserConfiguration", inside))
