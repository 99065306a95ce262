"""Styles, scripts and pictures: read once from the package, served from memory, nothing from elsewhere."""

import functools
import gzip
import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath
from msgspec import Struct

from meetkeeper.core.errors import NotFound
from meetkeeper.web.grid import grid_css

PACKED_BYTES_MIN = 1_024
"""Smaller files are sent as they are."""
FOREVER = "public, max-age=31536000, immutable"
"""For files whose address names their version or content."""
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}


class File(Struct, frozen=True):
    """One file as it is served."""

    body: bytes
    kind: str
    mark: str


def _read(folder: Traversable, path: str, found: dict[str, bytes]) -> None:
    for one in folder.iterdir():
        name = f"{path}{one.name}"
        if one.is_dir():
            _read(one, f"{name}/", found)
        elif not one.name.startswith((".", "_")):
            found[name] = one.read_bytes()


def _load() -> dict[str, File]:
    found: dict[str, bytes] = {}
    _read(files("meetkeeper.web") / "static", "", found)
    found["grid.css"] = grid_css().encode()
    return {
        name: File(body, _kind(name), hashlib.sha256(body).hexdigest()[:16]) for name, body in found.items()
    }


def _kind(name: str) -> str:
    suffix = name[name.rfind(".") :]
    return _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


FILES = _load()


def address(name: str) -> str:
    """A file's address; its content's mark is part of it, so that browsers keep it until it changes."""
    return f"/static/{name}?{FILES[name].mark}" if not name.startswith("vendor/") else f"/static/{name}"


@get("/static/{name:path}", opt={"door": "open"}, include_in_schema=False)
async def serve_file(name: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
    """One file."""
    file = FILES.get(name.lstrip("/"))
    if file is None:
        raise NotFound("unknown-file", "There is no such file.")
    lasting = "vendor/" in name or request.scope["query_string"] == file.mark.encode()
    headers = {
        "cache-control": FOREVER if lasting else "no-cache",
        "etag": f'"{file.mark}"',
        "vary": "accept-encoding",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(b"", status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", "") or len(file.body) < PACKED_BYTES_MIN:
        return Response(file.body, media_type=file.kind, headers=headers)
    return Response(
        _packed(name.lstrip("/")), media_type=file.kind, headers=headers | {"content-encoding": "gzip"}
    )


@functools.cache
def _packed(name: str) -> bytes:
    """A file's bytes, packed when somebody first asks for them."""
    return gzip.compress(FILES[name].body, mtime=0)
