"""The console's page of the ledger's completeness."""

import pytest
from completeness_console import Consoled, everything_amiss, record

from holdfast.interfaces.console.ledger_completeness_pages import MOST_ROWS


@pytest.fixture
def consoled() -> Consoled:
    return Consoled()


async def test_everything_that_is_amiss_stands_on_the_page(consoled: Consoled) -> None:
    await everything_amiss(consoled)
    async with consoled.browser() as browser:
        answer = await browser.get("/ledger/completeness")
    assert answer.status_code == 200
    text = answer.text
    assert "<mfp>" not in text
    gaps = text.split("What has not come</h3>")[1].split("<h3>")[0]
    assert "<td>2\N{EN DASH}8</td><td>7</td>" in gaps
    assert "<td>2\N{EN DASH}4</td><td>3</td>" in gaps
    assert gaps.count("overdue") == 2
    assert gaps.count("claimed") == 1
    assert "What came again with other content" in text
    assert "<td>4</td><td>2</td><td>2</td>" in text  # counted, recorded, difference
    assert "behind" in text.split("Clocks that are off</h3>")[1]
    concerns = text.split('role="alert">')[1].split("</ul>")[0]
    assert concerns.count("<li>") == 5  # gaps of two sources, a conflict, a meter and a clock
    assert 'href="/jobs/entry/acme/3"' in text  # the conflict's own entry


async def test_a_long_list_is_cut_and_says_so(consoled: Consoled) -> None:
    await consoled.append(*(record("a", n * 2) for n in range(1, MOST_ROWS + 12)))
    async with consoled.browser() as browser:
        text = (await browser.get("/ledger/completeness")).text
    assert text.count('<th scope="row">a</th>') == MOST_ROWS
    assert f"These are the {MOST_ROWS} oldest of {MOST_ROWS + 11}." in text


async def test_where_nothing_is_amiss_or_declared(consoled: Consoled) -> None:
    async with consoled.browser() as browser:
        assert "No record was ever taken in." in (await browser.get("/ledger/completeness")).text
        await consoled.append(record("a", 1))
        text = (await browser.get("/ledger/completeness")).text
        assert "Nothing is missing." in text
        assert "Completeness" in (await browser.get("/")).text
        consoled.judge = None
        assert "No ledger is declared." in (await browser.get("/ledger/completeness")).text
        assert "Completeness" not in (await browser.get("/")).text  # nor a way to it


async def test_a_customers_account_sees_none_of_it(consoled: Consoled) -> None:
    await consoled.append(record("a", 9))
    async with consoled.browser("acme") as browser:
        answer = await browser.get("/ledger/completeness")
        assert (answer.status_code, answer.headers["location"]) == (303, "/customer")
