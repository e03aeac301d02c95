"""What people do again and again at the console, with a wait for what each click leads to.

A click returns before the page it leads to is there: what is read right behind it, or filled in, may still be
the old page's. So each step ends with something that only the next page has, and tests look through `expect`,
which goes on looking.
"""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

PASSWORD = "four words that fit"


async def set_password(page: Page, invitation: str, password: str = PASSWORD) -> None:
    """From the invitation to the login that it ends in, with the name filled in by the console."""
    await page.goto(invitation)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_label("Password again").fill(password)
    await page.get_by_role("button", name="Set it").click()
    await expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()


async def first_login(page: Page, invitation: str, password: str = PASSWORD) -> None:
    """Sent, from the invitation on; what comes next depends on whether a second factor is asked for."""
    await set_password(page, invitation, password)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in", exact=True).click()


async def is_accessible(page: Page) -> None:
    """By all that axe looks for, of any severity."""
    found = (await Axe().run(page)).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
