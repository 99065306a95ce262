"""The board and its stream, one meeting's page, and the acts an operator may do there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct

from meetkeeper.api import queries, times
from meetkeeper.api.bodies import ExtendBody
from meetkeeper.api.commands import meeting_id_of, to_extension
from meetkeeper.api.desk import Desk
from meetkeeper.api.guards import caller_of
from meetkeeper.api.serverviews import HistoryItem, history_item
from meetkeeper.api.sessions import COOKIE
from meetkeeper.api.views import vmr_view
from meetkeeper.core.commands import Release, Resend
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.words import OPEN_STEPS, EffectKey, MeetingId
from meetkeeper.web.board import Board, make_board, subject_of, tone_of, when_in_full, word_of
from meetkeeper.web.forms import AnyRequest, cookie, posted
from meetkeeper.web.pages import back_to, page, render

NEWS_EVERY_S = 1.0
"""A board is drawn anew at most this often, however much happens …"""
TICK_S = 5.0
"""… and at least this often, because minutes pass and the other server may stand still."""
HISTORY_ROWS = 30
SESSION = {"door": "session"}
AtDesk = NamedDependency[Desk]

PARTS = {
    "top": "board_top.html",
    "said": "board_said.html",
    "wrong": "board_wrong.html",
    "live": "board_live.html",
    "next": "board_next.html",
    "timeline": "board_day.html",
    "server": "board_server.html",
}
"""The parts of the page that the stream keeps current, by element id."""
TOLD = {
    "extended": "The meeting lasts longer now.",
    "resent": "The invitation goes out again.",
    "brake": "The brake is released.",
    "outbox": "Done: the outbox goes on.",
    "resync": "The calendar is read anew.",
}
"""What may be said after an act, by the word in the address."""


class View(Struct, frozen=True):
    """What somebody wants to see."""

    day: str
    query: str
    proof: str


def view_of(desk: Desk, request: AnyRequest) -> View:
    """Day and search words from the address, bounded."""
    query = request.query_params
    return View(
        query.get("day", "")[:10], query.get("q", "")[:100], desk.sessions.proof(cookie(request, COOKIE))
    )


async def _board(desk: Desk, view: View) -> Board:
    status, now_s = desk.engine.status(), desk.engine.now_s()
    return await desk.engine.read(lambda state: make_board(state, status, now_s, view.day, view.query))


def _values(board: Board, view: View) -> dict[str, Any]:
    return {
        "board": board,
        "timeline": board.timeline,
        "proof": view.proof,
        "query": view.query,
        "day": view.day,
    }


@get("/", opt=SESSION)
async def show_board(desk: AtDesk, request: AnyRequest) -> Response[str]:
    """The board."""
    view = view_of(desk, request)
    board = await _board(desk, view)
    stream = "/stream?" + urlencode({"day": view.day, "q": view.query})
    return page(
        "board.html",
        operator=caller_of(request).name,
        stream=stream,
        told=TOLD.get(request.query_params.get("told", ""), ""),
        **_values(board, view),
    )


@get("/stream", opt=SESSION)
async def follow_board(desk: AtDesk, request: AnyRequest) -> Stream:
    """The board's parts, each time one has changed."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return Stream(_news(desk, view_of(desk, request)), media_type="text/event-stream", headers=headers)


async def _news(desk: Desk, view: View) -> AsyncIterator[bytes]:
    shown: dict[str, str] = {}
    follower, stop = desk.follower, desk.gate.stop
    desk.counts.streams += 1
    try:
        while not stop.is_set():
            seq = follower.seq
            values = _values(await _board(desk, view), view)
            changed = []
            for part, template in PARTS.items():
                html = render(template, **values)
                if shown.get(part) != html:
                    shown[part] = html
                    changed.append(
                        f'<hx-partial hx-target="#{part}" hx-swap="innerMorph">{html}</hx-partial>'
                    )
            yield _event(seq, "".join(changed)) if changed else b": still here\n\n"
            if await follower.wait_news(seq, TICK_S):
                await _pause(stop)
    finally:
        desk.counts.streams -= 1


async def _pause(stop: asyncio.Event) -> None:
    """Let news gather, unless the server stops."""
    try:
        async with asyncio.timeout(NEWS_EVERY_S):
            await stop.wait()
    except TimeoutError:
        pass


def _event(seq: int, html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in html.splitlines() if line.strip())
    return f"id: {seq}\n{lines}\n".encode()


# --- one meeting -----------------------------------------------------------------------------------------------------


@get("/meeting/{meeting_id:str}", opt=SESSION)
async def show_meeting(desk: AtDesk, request: AnyRequest, meeting_id: FromPath[str]) -> Response[str]:
    """Everything about one meeting."""
    return await _meeting_page(desk, request, meeting_id_of(meeting_id))


async def _meeting_page(
    desk: Desk, request: AnyRequest, meeting_id: MeetingId, wrong: str = "", status: int = 200
) -> Response[str]:
    found = await desk.engine.read(lambda state: queries.need(state, meeting_id))
    rows = await desk.engine.history(meeting_id, HISTORY_ROWS)
    meeting, cluster = found.meeting, desk.follower.config.cluster
    zone = times.display_zone(cluster.time_zone)
    rooms = desk.follower.rooms
    return page(
        "meeting.html",
        status=status,
        operator=caller_of(request).name,
        proof=desk.sessions.proof(cookie(request, COOKIE)),
        told=TOLD.get(request.query_params.get("told", ""), ""),
        wrong=wrong,
        id=meeting.id,
        subject=subject_of(meeting),
        word=word_of(found),
        tone=tone_of(found),
        when=when_in_full(found, zone),
        rooms=", ".join((rooms[room].name or room) if room in rooms else room for room in meeting.rooms),
        organizer=meeting.organizer.name or meeting.organizer.email,
        invited=len(meeting.invitees),
        origin=meeting.origin,
        revision=meeting.revision,
        vmr=None if meeting.vmr is None else vmr_view(meeting.vmr, cluster),
        foreign=meeting.foreign,
        open=found.step in OPEN_STEPS,
        history=[_told(history_item(row), row.at_s, zone.key) for row in rows],
    )


def _told(row: HistoryItem, at_s: float, zone: str) -> dict[str, object]:
    words = datetime.fromtimestamp(at_s, times.display_zone(zone)).strftime("%-d %b %H:%M:%S")
    return {"seq": row.seq, "at": row.at, "at_words": words, "why": row.why, "changes": row.changes}


@post("/meeting/{meeting_id:str}/extend", opt=SESSION, status_code=303)
async def extend_meeting(desk: AtDesk, request: AnyRequest, meeting_id: FromPath[str]) -> Response[str]:
    """Some minutes longer, if the room is free."""
    form = await posted(desk, request)
    wanted = meeting_id_of(meeting_id)
    found = await desk.engine.read(lambda state: queries.need(state, wanted))
    minutes = form.get("minutes", "")
    try:
        body = ExtendBody(minutes=int(minutes) if minutes.isdigit() and len(minutes) < 5 else 0)
        await desk.engine.submit(to_extension(body, found.meeting, found.meeting.revision))
    except MeetkeeperError as error:
        return await _meeting_page(desk, request, wanted, error.message, status=409)
    return back_to(f"/meeting/{wanted}?told=extended")


@post("/meeting/{meeting_id:str}/resend", opt=SESSION, status_code=303)
async def resend_meeting(desk: AtDesk, request: AnyRequest, meeting_id: FromPath[str]) -> Response[str]:
    """Tell everybody again."""
    await posted(desk, request)
    wanted = meeting_id_of(meeting_id)
    await desk.engine.submit(Resend(wanted))
    return back_to(f"/meeting/{wanted}?told=resent")


@post("/outbox", opt=SESSION, status_code=303)
async def release_effect(desk: AtDesk, request: AnyRequest) -> Response[str]:
    """Decide about a parked effect."""
    form = await posted(desk, request)
    await desk.engine.submit(
        Release(EffectKey(form.get("key", "")), "done" if form.get("how") == "done" else "retry")
    )
    return back_to("/?told=outbox")


@get("/docs", opt=SESSION)
async def show_docs(desk: AtDesk) -> Response[str]:
    """The interface's description."""
    return page("docs.html")


def router() -> Router:
    """These routes."""
    handlers = [
        show_board,
        follow_board,
        show_meeting,
        extend_meeting,
        resend_meeting,
        release_effect,
        show_docs,
    ]
    return Router("/", route_handlers=handlers, include_in_schema=False)
