"""Microsoft Graph and its token endpoint over real HTTP on loopback, on the mailboxes of `testing.fakes.mailbox`.

`view` tells a mailbox's items as Graph's events and reads what programs write, `api` answers requests, `tokens` gives
out and checks tokens, `server` is the wire.
"""

from meetkeeper.testing.fakes.graph.server import FakeGraph

__all__ = ["FakeGraph"]
