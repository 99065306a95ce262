"""Query parameters by the names callers use: a mistyped one is refused, because it would silently widen the answer."""

from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter, QueryParameter

from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.api.validation import did_you_mean, nearest

_known: dict[object, dict[str, str]] = {}
"""By the function behind the handler: the framework hands out copies of the handler itself."""


def query_names(handler: BaseRouteHandler) -> dict[str, str]:
    """What the handler calls its query and header parameters → what callers call them."""
    names = _known.get(handler.fn)
    if names is None:
        names = _known[handler.fn] = {}
        for place, field in handler.parsed_fn_signature.parameters.items():
            kwarg = field.kwarg_definition
            if isinstance(kwarg, QueryParameter | HeaderParameter):
                names[place] = kwarg.name or place
    return names


def check_query(handler: BaseRouteHandler, sent: set[str]) -> None:
    """Raise `Invalid` for parameters the route does not know."""
    if not sent:
        return
    known = {
        query_names(handler)[place]
        for place, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }
    errors = []
    for name in sorted(sent - known):
        near = nearest(name, known)
        hint = did_you_mean(near) or (f" Known are {', '.join(sorted(known))}." if known else "")
        errors.append(FieldError(name[:63], f"is not a query parameter here.{hint}", near))
    if errors:
        raise Invalid(errors)
