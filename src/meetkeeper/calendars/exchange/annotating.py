"""How to join, written into the body of somebody else's item in a room mailbox: the room's copy, mailed to nobody.

The body is read as it is kept, and everything in it stays but our own block: an online meeting's HTML is put back as it
came. Exchange refuses the change when somebody was quicker; then it is read again.
"""

from collections.abc import Awaitable, Callable

from meetkeeper.calendars.exchange import asking, mapping, soap
from meetkeeper.calendars.exchange.faults import GONE_CODES
from meetkeeper.calendars.exchange.soap import Fault, Node
from meetkeeper.calendars.exchange.terms import Ask
from meetkeeper.core.errors import TheirMistake, Unavailable
from meetkeeper.core.joinblock import JoinBlock, html_with_block, with_block
from meetkeeper.itemtext.annotating import safe_block

TRIES = 3
_LATE = "ErrorIrresolvableConflict"


async def annotate(
    ask: Callable[[Ask], Awaitable[tuple[Node, ...]]], name: str, block: JoinBlock | None, where: str
) -> bool:
    """Put the block into the item of this id. `ask` raises `Fault`. False when the item has gone."""
    for _ in range(TRIES):
        try:
            (message,) = await ask(asking.body(name))
            item = message.find("CalendarItem")
            body = None if item is None else item.child("Body")
            if item is None:
                raise TheirMistake(
                    "calendar.odd-answer",
                    f"{where} gave no item, which makes no sense. Look at the server's log.",
                )
            kind = "HTML" if body is not None and body.attributes.get("BodyType", "") == "HTML" else "Text"
            before = "" if body is None else body.text
            after = changed(before, kind, block)
            if after.replace("\r\n", "\n").strip() != before.replace("\r\n", "\n").strip():
                for answer in await ask(asking.set_body(name, mapping.change_key(item), after, kind)):
                    soap.check(answer)
        except Fault as fault:
            if fault.code in GONE_CODES:
                return False
            if fault.code != _LATE:
                raise
        else:
            return True
    raise Unavailable("calendar.busy", f"An item of {where} changes all the time; it is tried again.")


def changed(before: str, kind: str, block: JoinBlock | None) -> str:
    """The body with this block, in its own kind."""
    if kind == "HTML":
        return html_with_block(before, None if block is None else safe_block(block))
    return with_block(before, block)
