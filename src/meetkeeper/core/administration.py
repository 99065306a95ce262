"""What administrators decide: the configuration in force, tokens, and forgetting a calendar's progress mark."""

from meetkeeper.core.changes import ConfigDeployed, CookieKept, TokenKept, TokenRevoked
from meetkeeper.core.commands import Deploy, IssueToken, Resync, RevokeToken
from meetkeeper.core.drafting import Draft
from meetkeeper.core.errors import NotFound, Refused, Stale
from meetkeeper.core.plan import Decision
from meetkeeper.core.state import State


def deploy(state: State, command: Deploy, now_s: float) -> Decision:
    """Put a checked configuration in force. Raises `Stale` when another one was deployed since it was made."""
    if command.base is not None and command.base != state.config_revision:
        raise Stale(
            "stale-config",
            f"Configuration {state.config_revision} is in force, this one was made from {command.base}. "
            "Look at `meetkeeper config diff`, then stage it again.",
            detail={"revision": state.config_revision},
        )
    draft = Draft(state, now_s)
    if bytes(command.body) != state.config_body:
        draft.change(ConfigDeployed(state.config_revision + 1, command.by, command.body))
        draft.note("config.deployed", "config", f"deployed by {command.by}")
    return Decision(draft.plan(), str(state.config_revision + len(draft)))


def issue_token(state: State, command: IssueToken, now_s: float) -> Decision:
    """Let a token in. Raises `Refused` for a name in use."""
    if any(token.name == command.name for token in state.tokens.values()):
        raise Refused(
            "token-exists", f"A token named {command.name!r} exists. Revoke it first or choose another."
        )
    draft = Draft(state, now_s)
    draft.change(TokenKept(command.digest, command.name, command.scope, now_s))
    return Decision(draft.plan(), command.name)


def revoke_token(state: State, command: RevokeToken, now_s: float) -> Decision:
    """Let it in no more. Raises `NotFound` for a name nobody has."""
    draft = Draft(state, now_s)
    for token in state.tokens.values():
        if token.name == command.name:
            draft.change(TokenRevoked(token.digest))
    if not len(draft):
        raise NotFound(
            "unknown-token", f"There is no token named {command.name!r}. See `meetkeeper token list`."
        )
    return Decision(draft.plan(), command.name)


def resync(state: State, command: Resync, now_s: float) -> Decision:
    """Forget a room's cookie: the next poll is a full pass."""
    if command.room not in state.rooms:
        raise NotFound(
            "unknown-room", f"There is no room {command.room!r}. `meetkeeper rooms` lists the rooms."
        )
    draft = Draft(state, now_s)
    if state.cookies.get(command.room):
        draft.change(CookieKept(command.room, ""))
        draft.note("sync.resync", command.room, "the cookie was forgotten by request")
    return Decision(draft.plan(), command.room)
