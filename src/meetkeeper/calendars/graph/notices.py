"""Change notifications as a hint: Microsoft 365 is asked to tell us when a mailbox's calendar changes.

A subscription is made after a pass and renewed at half of its life (learn.microsoft.com "Set up change notifications");
whatever it says, lifecycle events included, ends in an ordinary look. It is not kept: after a failover there is another
one, and the old one ends by itself. Polling goes on as ever, so trouble here costs latency and nothing else.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from meetkeeper.calendars.graph.answers import Answer, to_error
from meetkeeper.calendars.graph.client import Call, GraphClient
from meetkeeper.calendars.graph.mapping import moment_s
from meetkeeper.calendars.graph.marks import text_of
from meetkeeper.core.errors import MeetkeeperError

LIFE_S = 4_200 * 60
"""What is asked for; Outlook's resources are given at least 4,230 minutes. What is granted is read back."""
AGAIN_S = 600.0
"""After trouble it is tried again so much later."""


class Post(Struct, frozen=True):
    """Where notices are to go, and the word that they have to bear."""

    url: str
    word: str


class _Granted(Struct, frozen=True):
    id: str = ""
    expirationDateTime: str = ""  # noqa: N815 - as on the wire


class Notices:
    """The subscription for one mailbox. `trouble` says why there is none; "" when there is, or was not tried yet."""

    def __init__(
        self, client: GraphClient, mailbox: str, post: Post, now_s: Callable[[], float] = time.time
    ) -> None:
        self.trouble = ""
        self._client = client
        self._mailbox = mailbox
        self._post = post
        self._now_s = now_s
        self._id = ""
        self._due_s = 0.0

    async def keep(self, until: float) -> None:
        """Make or renew the subscription when it is time. Never raises one of our errors."""
        now_s = self._now_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + AGAIN_S
        try:
            answer = await self._renew(now_s, until) if self._id else await self._make(now_s, until)
            if answer.status in (404, 410) and self._id:
                answer = await self._make(now_s, until)
            if answer.status not in (200, 201):
                raise to_error(answer, f"{self._client.host} (notifications for {self._mailbox})")
        except MeetkeeperError as trouble:
            self._id, self.trouble = "", trouble.message
            return
        self._take(answer, now_s)

    async def _make(self, now_s: float, until: float) -> Answer:
        fields = {
            "changeType": "created,updated,deleted",
            "resource": f"/users/{quote(self._mailbox, safe='@')}/events",
            "notificationUrl": self._post.url,
            "lifecycleNotificationUrl": self._post.url,
            "clientState": self._post.word,
            "expirationDateTime": text_of(int(now_s) + LIFE_S),
        }
        return await self._send("POST", "/subscriptions", fields, until)

    async def _renew(self, now_s: float, until: float) -> Answer:
        path = f"/subscriptions/{quote(self._id, safe='')}"
        return await self._send("PATCH", path, {"expirationDateTime": text_of(int(now_s) + LIFE_S)}, until)

    async def _send(self, method: str, path: str, fields: dict[str, Any], until: float) -> Answer:
        call = Call(method, f"{self._client.endpoint}{path}", msgspec.json.encode(fields))
        return await self._client.ask(call, self._mailbox, until)

    def _take(self, answer: Answer, now_s: float) -> None:
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            granted = _Granted()
        ends_s = moment_s(granted.expirationDateTime)
        if not granted.id or ends_s <= now_s:
            self._id, self.trouble = "", f"{self._client.host} granted no notifications; rooms are polled."
            return
        self._id, self.trouble = granted.id, ""
        self._due_s = now_s + (ends_s - now_s) / 2
