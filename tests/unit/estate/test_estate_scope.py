from decimal import Decimal

import pytest
from estate_files import load

from holdfast.estate.model import Agreement
from holdfast.estate.scope import components_of

ESTATE = load(
    "regions: {r: {name: R}}\nclusters:\n"
    + "".join(
        f"  {cluster}:\n    name: C\n    region: r\n    components:\n"
        + "".join(f"      {key}: {{name: K, checks: {{c: {{url: 'http://x'}}}}}}\n" for key in keys)
        for cluster, keys in (("eu", ("web", "api")), ("us", ("api", "mq")))
    )
)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["eu/api"], ["eu/api"]),
        (["eu/*"], ["eu/web", "eu/api"]),
        (["*/api"], ["eu/api", "us/api"]),
        (["*/*"], ["eu/web", "eu/api", "us/api", "us/mq"]),
        (["us/mq", "*/api", "us/*", "eu/api"], ["eu/api", "us/api", "us/mq"]),
    ],
)
def test_patterns_name_components_once_in_the_order_of_the_file(
    patterns: list[str], expected: list[str]
) -> None:
    agreement = Agreement(customer="c", name="A", components=tuple(patterns), objective=Decimal(99))
    assert ["/".join(pair) for pair in components_of(agreement, ESTATE)] == expected
