"""One demo and one browser, shared by all end-to-end tests; both are gone when the last of them is done."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from e2e.demo import Demo
from installation import free_base_port, free_port, installed

# Nothing that talks to anybody but the page.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# As long as a context's own time-out here: a page that comes at all passes, however busy the machine is.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """With a year of sample history, so that every kind of day and event stands on its pages."""
    folder = tmp_path_factory.mktemp("demo")
    with installed(folder, HOLDFAST_LAB_BASE_PORT=str(free_base_port())) as installation:
        listen = f"127.0.0.1:{free_port()}"
        up = installation.up("--listen", listen, "--sample-history", command="demo")
        demo = Demo(installation, up)
        demo.until_whole()
        demo.tell()
        yield demo


@pytest_asyncio.fixture(loop_scope="session", scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # The system's own, which scripts/test-needs sees to.
        chromium = shutil.which("chromium")
        assert chromium is not None, "there is no chromium; run scripts/test-needs"
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, demo: Demo) -> AsyncIterator[Callable[..., Any]]:
    """Opens a browser context on the demo's site: a visitor of its own, with what `new_context` takes."""
    contexts: list[BrowserContext] = []

    async def visitor(**how: Any) -> BrowserContext:
        context = await browser.new_context(base_url=demo.site, locale=how.pop("locale", "en-GB"), **how)
        contexts.append(context)
        context.set_default_timeout(60_000)
        return context

    yield visitor
    for context in contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def frozen(demo: Demo) -> AsyncIterator[None]:
    """The database is there and does nothing: nobody starts it again, and nobody gets an answer from it."""
    installation = demo.installation
    stopped = [installation.postmaster, *installation.backends()]
    pids = [pid for pid in stopped if pid is not None]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await asyncio.to_thread(demo.until_whole, "measured")
