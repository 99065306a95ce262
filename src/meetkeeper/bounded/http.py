"""HTTP to a calendar server within bounds: no cookies, no proxies or logins from the environment, no redirects of its
own, answers counted while they arrive, and errors of the wire in our words.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext

import httpx2
from msgspec import Struct

from meetkeeper.core.errors import TheirMistake, Unavailable


class Limits(Struct, frozen=True, kw_only=True):
    """How long and how much. Times in seconds: a connection, a silence, a request, a whole pass over a calendar."""

    connect_s: float = 10.0
    read_s: float = 30.0
    request_s: float = 120.0
    pass_s: float = 900.0
    answer_bytes_max: int = 64 << 20
    at_once_max: int = 8


def open_client(
    limits: Limits, *, tls: SSLContext | None, encrypted: bool, headers: Mapping[str, str]
) -> httpx2.AsyncClient:
    """A pool of connections. `tls` replaces the system's trusted authorities; plain HTTP needs none."""
    at_once = limits.at_once_max
    return httpx2.AsyncClient(
        headers={"User-Agent": "meetkeeper", **headers},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # they would mix users
        timeout=httpx2.Timeout(limits.read_s, connect=limits.connect_s),
        limits=httpx2.Limits(max_connections=at_once, max_keepalive_connections=at_once, keepalive_expiry=30),
        trust_env=False,
        follow_redirects=False,
        verify=tls if tls is not None else encrypted,
    )


async def read_body(response: httpx2.Response, bytes_max: int) -> bytes | None:
    """The body, unpacked; None as soon as it is larger."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


@contextmanager
def in_our_words(host: str, in_use: Callable[[], bool]) -> Iterator[None]:
    """Errors of the wire as ours: `Unavailable` (away, silent, cut off, out of time), `TheirMistake` (nonsense).

    Whoever still asks when nobody is left (`in_use` is False) finds the client closed.
    """
    try:
        yield
    except TimeoutError:
        raise Unavailable("calendar.slow", f"{host} took too long; it is asked again.") from None
    except httpx2.DecodingError:
        raise TheirMistake(
            "calendar.odd-answer",
            f"{host} sent an answer packed wrongly; look at what stands between.",
        ) from None
    except httpx2.HTTPError as error:
        why = str(error) or type(error).__name__
        raise Unavailable("calendar.away", f"{host} can't be reached ({why}); it is asked again.") from None
    except (httpx2.InvalidURL, NotImplementedError, ValueError) as error:
        raise TheirMistake(
            "calendar.odd-answer",
            f"{host} answered in a way that can't be followed ({type(error).__name__}); look at it.",
        ) from None
    except RuntimeError:
        if in_use():
            raise
        raise closed(host) from None


def closed(host: str) -> Unavailable:
    """The error for asking a server that no room uses any more."""
    return Unavailable("calendar.closed", f"{host} is no longer used by this configuration.")
