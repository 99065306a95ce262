"""The files we serve: ours, as vendored, from no other place."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from meetkeeper.web.files import FILES, address
from meetkeeper.web.grid import grid_css
from tests.api.house import House

WEB = Path(__file__).resolve().parents[2] / "src" / "meetkeeper" / "web"
VENDORED = [WEB / "static" / "vendor", Path(__file__).parent / "vendor"]


@pytest.mark.parametrize("folder", VENDORED, ids=["shipped", "for tests"])
def test_vendored_files_are_as_they_were_fetched(folder: Path) -> None:
    """Every file is listed with its hash, every package with its licence's text, and nothing else lies there."""
    listed = json.loads((folder / "vendor.json").read_text())
    expected = {"vendor.json"}
    for package in listed:
        place = f"{package['name']}-{package['version']}"
        assert package["licence"]
        assert any("LICENSE" in name for name in package["sha256"]), place
        for name, digest in package["sha256"].items():
            expected.add(f"{place}/{name}")
            assert hashlib.sha256((folder / place / name).read_bytes()).hexdigest() == digest, name
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == expected


def test_templates_name_files_that_are_there() -> None:
    """Each file a template asks for is served."""
    for template in (WEB / "templates").iterdir():
        for name in re.findall(r"file\('([^']+)'\)", template.read_text()):
            assert address(name).startswith("/static/")
        for name in re.findall(r'"/static/([^"]+)"', template.read_text()):
            assert name in FILES


def test_templates_hold_no_inline_script_or_style() -> None:
    """What a strict policy would block is not there to begin with."""
    for template in (WEB / "templates").iterdir():
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*src=)", text), template.name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text), template.name


async def test_files_are_served_with_their_kind_and_kept_by_mark(house: House) -> None:
    """Under its mark a file may be kept for ever, else it is asked for again; nothing outside the folder is served."""
    style = await house.client.get(address("style.css"))
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    assert style.headers["content-encoding"] == "gzip"
    plain = await house.client.get("/static/style.css", headers={"accept-encoding": "identity"})
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.text == style.text
    again = await house.client.get("/static/style.css", headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    script = await house.client.get("/static/room/room.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for path in ("/static/nope.css", "/static/../pages.py", "/static/%2e%2e/pages.py", "/static/"):
        assert (await house.client.get(path)).status_code in (404, 401), path


def test_the_grid_has_a_place_for_every_five_minutes() -> None:
    """Slots, widths, hours and lanes of a day with 25 hours are all there."""
    css = grid_css()
    for rule in (".s-0{", ".s-299{", ".w-1{", ".w-300{", ".h-25{", ".l-5{"):
        assert rule in css
