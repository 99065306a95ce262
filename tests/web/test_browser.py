"""The screens in a real browser: live, accessible, under the strictest policy, on a phone, and without scripts."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meetkeeper.api.serve import bind, serve
from meetkeeper.web.routes import routes
from tests.api.house import NOW_S, PASSWORD, House, open_house, pair_status
from tests.conftest import RequireReal

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation",
  (event) => console.error("policy: " + event.violatedDirective + " " + event.blockedURI));
"""
Page = Any
Browser = Any


@pytest.fixture
def playwright(require_real: RequireReal) -> Any:
    """The driver, where a browser is there to be driven."""
    require_real("chromium", bool(CHROMIUM), "apt install chromium")
    module = pytest.importorskip("playwright.async_api", reason="pip install 'meetkeeper[e2e]'")
    return module.async_playwright


@asynccontextmanager
async def served(port: int = 0, **house_of: Any) -> AsyncIterator[tuple[House, str]]:
    """A house on a port, and its address."""
    async with open_house(more=routes, served=True, **house_of) as house:
        sock = bind("127.0.0.1", port)
        up = asyncio.Event()
        serving = asyncio.create_task(serve(house.front, sock, ready=up.set))
        await up.wait()
        try:
            yield house, f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            house.gate.stop.set()
            await serving


@asynccontextmanager
async def browsing(playwright: Any) -> AsyncIterator[Browser]:
    """A browser."""
    async with playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(playwright: Any) -> AsyncIterator[tuple[House, Browser, str]]:
    """A house on a port, and a browser."""
    async with served() as (house, address), browsing(playwright) as browser:
        yield house, browser, address


class Complaints(list[str]):
    """Whatever the browser complains about: errors on the console, exceptions, violations of the policy."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        page.on(
            "console",
            lambda message: self.append(message.text) if message.type in ("error", "warning") else 0,
        )
        page.on("pageerror", lambda error: self.append(str(error)))


async def fresh_page(browser: Browser, **context: Any) -> tuple[Page, Complaints]:
    """A page in a context of its own."""
    page = await (await browser.new_context(**context)).new_page()
    await page.add_init_script(WATCH_POLICY)
    return page, Complaints(page)


async def log_in(page: Page, address: str) -> None:
    """As an operator does."""
    await page.goto(f"{address}/")
    await page.fill("input[name=name]", "olga")
    await page.fill("input[name=password]", PASSWORD)
    await page.press("input[name=password]", "Enter")
    await page.wait_for_selector("#wrong")


async def flaws(page: Page) -> list[str]:
    """Serious findings of axe, in words."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


async def passes(page: Page, width: int) -> None:
    """Nothing serious is found, and nothing is wider than the window."""
    assert await flaws(page) == [], (page.url, width)
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, (page.url, width)


async def test_the_board_is_live_and_says_when_it_is_not(playwright: Any) -> None:
    """A meeting booked elsewhere appears without a reload, the page complains of nothing, and a dead server is told."""
    async with opened(playwright) as (house, browser, address):
        page, complaints = await fresh_page(browser, viewport={"width": 1280, "height": 900})
        await log_in(page, address)
        await page.wait_for_function("document.querySelector('#stream')")
        await house.book(subject="Just booked")
        await page.wait_for_selector("#next >> text=Just booked", timeout=8_000)
        await page.wait_for_selector("#timeline >> text=Just booked")
        house.engine.at(NOW_S + 3_600)
        await house.book(rooms=["oslo-4"], start="2027-03-04T08:00Z", end="2027-03-04T09:00Z")
        await page.wait_for_selector("#live >> text=Just booked", timeout=8_000)
        assert complaints == []
        house.gate.stop.set()
        await page.wait_for_selector("#broken:not([hidden])", timeout=20_000)
        assert "no connection" in await page.inner_text("#link")


async def test_an_open_board_follows_the_role(playwright: Any) -> None:
    """A server is started again and is passive from then on: the page goes to where the active one is, by itself."""
    async with browsing(playwright) as browser, served() as (_, elsewhere):
        page, _ = await fresh_page(browser)
        async with served() as (_, address):
            await log_in(page, address)
            await page.wait_for_selector("#link >> text=connected", timeout=20_000)
        port = int(address.rpartition(":")[2])
        async with served(port, acts=lambda: False, active_url=lambda: elsewhere) as (house, _):
            house.engine.role = "passive"
            house.engine.pair = pair_status(role="passive", peer_role="active", peer_url=elsewhere)
            await page.wait_for_url(f"{elsewhere}/**", timeout=30_000)


async def test_every_page_passes_for_everybody(playwright: Any) -> None:
    """axe finds nothing serious in light or dark, wide or narrow; no page scrolls sideways at 360 pixels."""
    async with opened(playwright) as (house, browser, address):
        live = await house.book(start="2027-03-03T08:30Z", end="2027-03-03T09:30Z")
        later = await house.book(start="2027-03-03T12:30Z", end="2027-03-03T13:30Z")
        house.engine.at(NOW_S + 1)
        house.engine.room_error = "401: the password was refused"
        doors = [f"/join/{one['vmr']['alias']}" for one in (live, later)]
        for scheme, width in (("light", 1280), ("dark", 360)):
            page, complaints = await fresh_page(
                browser, viewport={"width": width, "height": 800}, color_scheme=scheme
            )
            await page.goto(f"{address}/login")
            assert await flaws(page) == []
            await log_in(page, address)
            inside = ("/", f"/meeting/{live['id']}", "/?day=2027-03-05", "/rooms/oslo-4")
            for path in (*inside, *doors, "/join/abcdefghjk"):
                await page.goto(address + path)
                await passes(page, width)
            await page.goto(f"{address}/rooms/oslo-4")
            for button in ("What would a resync do?", "Examine the room"):
                await page.click(f"text={button}")
                await page.wait_for_selector(".found")
                await passes(page, width)
            assert [text for text in complaints if "404" not in text] == []


async def test_the_door_opens_by_itself(playwright: Any) -> None:
    """Whoever waits sees the page go on at the start, types the PIN without touching the mouse, and is in."""
    async with opened(playwright) as (house, browser, address):
        told = await house.book(start="2027-03-03T08:30:04Z", end="2027-03-03T09:30Z")
        page, complaints = await fresh_page(browser, viewport={"width": 390, "height": 844})
        await page.goto(f"{address}/join/{told['vmr']['alias']}")
        assert await page.get_attribute("#main", "data-state") == "waiting"
        assert (await page.inner_text("[data-countdown]")).startswith("0:0")
        house.engine.at(NOW_S + 4)
        await page.wait_for_selector("#pin", timeout=15_000)
        assert await page.evaluate("document.activeElement.id") == "pin"
        await page.keyboard.type(told["vmr"]["pin"])
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=Join this meeting with a video system")
        assert told["vmr"]["numeric_id"] in await page.inner_text("main")
        assert complaints == []


async def test_the_interface_describes_itself_offline(playwright: Any) -> None:
    """The API's page shows every operation with our own files and asks nobody else for anything."""
    async with opened(playwright) as (_, browser, address):
        page, complaints = await fresh_page(browser)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await log_in(page, address)
        await page.goto(f"{address}/docs")
        await page.wait_for_selector(".opblock-summary-path", timeout=20_000)
        assert await page.locator(".opblock").count() >= 28
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
        assert complaints == []


async def test_everything_is_there_without_scripts(playwright: Any) -> None:
    """Log in, read the board, act on a meeting and try a PIN in a browser that runs no script."""
    async with opened(playwright) as (house, browser, address):
        told = await house.book(start="2027-03-03T08:30Z", end="2027-03-03T09:30Z")
        house.engine.at(NOW_S + 1)
        page, _ = await fresh_page(browser, java_script_enabled=False)
        await log_in(page, address)
        await page.click("#live a")
        await page.click("text=15 min longer")
        await page.wait_for_selector("text=The meeting lasts longer now.")
        await page.goto(f"{address}/join/{told['vmr']['alias']}")
        await page.fill("#pin", "000000")
        await page.press("#pin", "Enter")
        await page.wait_for_selector("text=This PIN is wrong")
