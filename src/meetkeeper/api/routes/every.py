"""Every route under /api/v1, made anew each time: the served application and the described one hold their own."""

from litestar import Router

from meetkeeper.api.routes import access, aside, events, meetings, pair, rooms, server


def under_api() -> list[Router]:
    """All routers, in the order the documentation lists them."""
    return [
        meetings.router(),
        rooms.router(),
        server.router(),
        pair.router(),
        aside.router(),
        events.router(),
        access.tokens(),
        access.config(),
    ]
