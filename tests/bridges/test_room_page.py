"""The built-in room in a real browser on a real Janus: people see each other, and every mishap is told in words."""

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

import meetkeeper.web
from meetkeeper.bridges.janus.launch import PrivateJanus
from meetkeeper.core.effects import Phase
from meetkeeper.ports.bridge import WantedVmr
from meetkeeper.testing.contracts.bridge import in_phase, wanted_vmr
from meetkeeper.testing.participant import Participant, media_available
from tests.bridges.venues import CLIENT_SECRET, JanusVenue, janus_venue
from tests.conftest import RequireReal

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATIC = Path(meetkeeper.web.__file__).parent / "static" / "room"
TYPES = {".js": "text/javascript", ".css": "text/css"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS = 30_000
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--use-fake-device-for-media-stream=fps=10",
    "--use-fake-ui-for-media-stream",
]
# Polled inside the page: its policy, rightly, forbids what Playwright's own waiting for a function does.
MOVES = """async ([selector, patience]) => {
    const until = performance.now() + patience;
    let before;
    while (performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        const video = document.querySelector(selector);
        if (!video || video.readyState < 2) continue;
        const now = [video.currentTime, video.getVideoPlaybackQuality().totalVideoFrames];
        before ??= now;
        if (now[0] > before[0] && now[1] > before[1] + 5) return true;
    }
    return false;
}"""


class Pages:
    """A web server that shows the room page with the policy a real one would set."""

    def __init__(self, client_url: str) -> None:
        self._bodies: dict[str, str] = {}
        origin = urlsplit(client_url)._replace(path="").geturl()
        self._policy = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {origin}"
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = pages.answer(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind + "; charset=utf-8")
                self.send_header("Content-Security-Policy", pages._policy)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, path: str) -> tuple[str, bytes]:
        """What stands at this path."""
        if path in self._bodies:
            return "text/html", self._bodies[path].encode()
        file = STATIC / Path(path).name
        return (TYPES[file.suffix], file.read_bytes()) if file.suffix in TYPES else ("text/plain", b"")

    def add(self, **facts: str) -> str:
        """A page with these data attributes; its address."""
        attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in facts.items())
        path = f"/page/{len(self._bodies)}"
        self._bodies[path] = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Room</title>'
            '<link rel="stylesheet" href="/room/room.css"></head><body>'
            f'<main id="room" {attributes}></main><script type="module" src="/room/room.js"></script></body></html>'
        )
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


Visit = Callable[..., Awaitable["Page"]]


@pytest_asyncio.fixture(loop_scope="module")
async def venue(janus: PrivateJanus) -> AsyncIterator[JanusVenue]:
    """The real Janus, on the loop that the browser lives on."""
    async with janus_venue(janus) as venue:
        yield venue


@pytest.fixture
def pages(venue: JanusVenue) -> Iterator[Pages]:
    """The page, on a server of its own."""
    pages = Pages(venue.janus.client_url)
    yield pages
    pages.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(require_real: RequireReal) -> "AsyncIterator[Browser]":
    """Chromium with a camera and a microphone that are pretended."""
    require_real("Chromium", CHROMIUM is not None, "apt install chromium")
    require_real("playwright", find_spec("playwright") is not None, "pip install 'meetkeeper[e2e]'")
    require_real("a network for media", media_available(), "give this machine any address besides loopback")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: "Browser", pages: Pages, venue: JanusVenue) -> AsyncIterator[Visit]:
    """`await visit(wanted, "Ada")` opens the room page; what the browser complains about fails the test."""
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    async def open_page(wanted: WantedVmr, name: str, *, script: str = "", **facts: str) -> "Page":
        context = await browser.new_context(permissions=["camera", "microphone"])
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: _note(complaints, line.text))
        if script:
            await page.add_init_script(script)
        told = {
            "url": venue.janus.client_url,
            "room": wanted.alias,
            "pin": wanted.pin,
            "display": name,
            "title": wanted.title,
            "secret": CLIENT_SECRET,
            "door": f"/join/{wanted.alias}",
        }
        await page.goto(pages.add(**{**told, **facts}))
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert not complaints, complaints


def _note(complaints: list[str], line: str) -> None:
    if "Content Security Policy" in line or "Uncaught" in line:
        complaints.append(line)


async def state_of(page: "Page", state: str) -> None:
    """Wait until the room stands like this."""
    await page.wait_for_selector(f"#room[data-state={state}]", state="attached")


async def sees(page: "Page", name: str) -> None:
    """Wait until this person's video plays and brings new pictures."""
    assert await page.evaluate(MOVES, [person(name), PATIENCE_MS]), f"no moving picture of {name}"


def person(name: str) -> str:
    """The selector of somebody's video."""
    return f'video[aria-label="Picture of {name}"]'


async def test_two_people_see_each_other(venue: JanusVenue, visit: Visit) -> None:
    """Both see the other's moving picture, leaving is noticed, and the end of the meeting is told to who is left."""
    wanted = wanted_vmr("two people", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    ada, bob = await visit(wanted, "Ada"), await visit(wanted, "Bob")
    for page in (ada, bob):
        await page.get_by_role("button", name="Join with camera and microphone").click()
        await state_of(page, "in")
    await sees(ada, "Bob")
    await sees(bob, "Ada")
    await ada.wait_for_selector(".room-tile[data-picture=yes] " + person("Bob"))

    await bob.get_by_role("button", name="Stop camera").click()
    await ada.wait_for_selector(".room-tile[data-picture=no] " + person("Bob"))
    await bob.get_by_role("button", name="Start camera").click()
    await ada.wait_for_selector(".room-tile[data-picture=yes] " + person("Bob"))

    await bob.get_by_role("button", name="Leave").click()
    await ada.wait_for_selector(person("Bob"), state="detached")
    assert await ada.get_by_role("status").inner_text() == "Bob has left."

    await venue.bridge.ensure(in_phase(wanted, Phase.CLOSED))
    await state_of(ada, "over")
    assert "The meeting is over" in await ada.get_by_role("alert").inner_text()
    assert await ada.get_by_role("link").get_attribute("href") == f"/join/{wanted.alias}"


async def test_without_camera_with_the_keyboard_alone(venue: JanusVenue, visit: Visit) -> None:
    """Joining without camera, muting, moving in the toolbar and leaving need no mouse; the name is asked for."""
    wanted = wanted_vmr("keyboard", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    page = await visit(wanted, "")
    await page.focus("#room-display")
    await page.keyboard.type("Eve")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await state_of(page, "in")
    focused = "document.activeElement.textContent"
    assert await page.evaluate(focused) == "Mute microphone"
    await page.keyboard.press("m")
    assert await page.evaluate(focused) == "Unmute microphone"
    await page.keyboard.press("ArrowRight")
    assert await page.evaluate(focused) == "Start camera"
    await page.keyboard.press("End")
    assert await page.evaluate(focused) == "Leave"
    await page.keyboard.press("Enter")
    await state_of(page, "lobby")
    assert await page.get_by_role("status").inner_text() == "You have left the meeting."


async def test_a_browser_and_another_client_meet(venue: JanusVenue, visit: Visit) -> None:
    """Who came first is seen by who comes later, whatever they joined with; a camera can be started later."""
    wanted = wanted_vmr("mixed", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    other = await Participant.take(
        venue.janus.client_url, wanted.alias, wanted.pin, display="Robot <b>&", secret=CLIENT_SECRET
    )
    await other.publish()
    page = await visit(wanted, "Ada")
    await page.get_by_role("button", name="Join without camera").click()
    await state_of(page, "in")
    await sees(page, "Robot <b>&")
    [ada] = [publisher for publisher, facts in other.others.items() if facts["display"] == "Ada"]
    await other.watch(ada)
    await other.wait_received(sounds=10)
    assert other.pictures_seen == 0
    await page.get_by_role("button", name="Start camera").click()
    await other.wait_received(pictures=5)
    await other.leave()


async def test_each_mishap_is_told_in_words(venue: JanusVenue, visit: Visit) -> None:
    """Not open yet, a wrong PIN, a bridge that is away and a camera that is denied each have words and a way on."""
    wanted, opened = wanted_vmr("mishaps"), wanted_vmr("guessed", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    await venue.bridge.ensure(opened)
    away = f"{venue.janus.client_url}x/away"
    denied = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"
    cases = [
        ("without camera", await visit(wanted, "Early"), "not-open", "not open"),
        ("without camera", await visit(opened, "Guessing", pin="1"), "not-open", "PIN"),
        ("without camera", await visit(opened, "Away", url=away), "away", "cannot be reached"),
        (
            "with camera",
            await visit(opened, "Denied", script=denied),
            "camera",
            "Allow them in the address bar",
        ),
    ]
    for way, page, _, _ in cases:
        await page.get_by_role("button", name=f"Join {way}").click()
    for _, page, problem, words in cases:
        await page.wait_for_selector(f"#room[data-problem={problem}]")
        assert words in await page.get_by_role("alert").inner_text()
        assert await page.evaluate("document.activeElement.className") == "room-problem"
        assert await page.get_by_role("button", name="Join without camera").is_enabled()


async def test_a_restart_of_janus_is_got_over(venue: JanusVenue, visit: Visit) -> None:
    """When Janus crashes in the middle of a meeting, the page finds its way back in by itself."""
    wanted = wanted_vmr("reconnect", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    ada, bob = await visit(wanted, "Ada"), await visit(wanted, "Bob")
    for page in (ada, bob):
        await page.get_by_role("button", name="Join with camera and microphone").click()
        await state_of(page, "in")
    noticed = [asyncio.create_task(state_of(page, "reconnecting")) for page in (ada, bob)]
    await venue.restart(forget=False)
    await asyncio.gather(*noticed)
    for page in (ada, bob):
        await state_of(page, "in")
    await sees(ada, "Bob")


async def test_the_page_needs_nothing_from_elsewhere() -> None:
    """The three files together stay small and load nothing but each other."""
    files = {path.name: path.read_text("utf-8") for path in STATIC.iterdir()}
    assert files.keys() == {"janus.js", "room.js", "room.css"}
    assert sum(map(len, files.values())) < 50_000
    imports = [line for text in files.values() for line in text.splitlines() if line.startswith("import ")]
    assert imports == ['import { JanusError, Session, sleep } from "./janus.js";']
    assert json.dumps(files).count("@import") == 0
