"""Estate files to measure with."""

from dataclasses import dataclass

IN_A_CLUSTER = 10
CONDITIONS = ("status in 200..299", 'body contains "ok"', "response_time < 5s")
LINK_FILE = "link"
"""The file beside the estate file that holds the report link's secret."""

_KINDS = ("Website", "API", "Messaging", "Accounting", "Drivers", "Scan", "Fax", "Copy", "Sign-in", "Reports")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An estate of `components` components with `checks_each` HTTP checks each, in clusters of ten.

    `agreed` of them, from the first on, are in the one agreement.
    """

    components: int
    url: str = "http://127.0.0.1:9/"
    every: str = "30s"
    agreed: int = 0
    checks_each: int = 1

    @property
    def checks(self) -> int:
        return self.components * self.checks_each


def estate_text(wanted: Wanted) -> str:
    """The estate file. It depends on `wanted` alone."""
    clusters = -(-wanted.components // IN_A_CLUSTER)
    lines = ["version: 1", "site:", "  title: Bench", "  time_zone: Europe/Berlin", "regions:"]
    lines += ["  eu: {name: Europe}", "  us: {name: North America}", "clusters:"]
    for cluster in range(clusters):
        lines += [
            f"  c{cluster:03}:",
            f"    name: Cluster {cluster:03}",
            f"    region: {'eu' if cluster % 2 else 'us'}",
            "    components:",
        ]
        for index in range(min(IN_A_CLUSTER, wanted.components - cluster * IN_A_CLUSTER)):
            lines += _component(index, wanted)
    return "\n".join([*lines, *_agreement(wanted)]) + "\n"


def _component(index: int, wanted: Wanted) -> list[str]:
    return [
        f"      k{index}:",
        f"        name: {_KINDS[index]}",
        "        checks:",
        *(line for number in range(wanted.checks_each) for line in _check(number, wanted)),
    ]


def _check(number: int, wanted: Wanted) -> list[str]:
    conditions = ", ".join(f"'{condition}'" for condition in CONDITIONS)
    return [
        f"          http{number or ''}:",
        f"            url: {wanted.url}",
        f"            every: {wanted.every}",
        f"            conditions: [{conditions}]",
    ]


def _agreement(wanted: Wanted) -> list[str]:
    if not wanted.agreed:
        return []
    return [
        "customers:",
        "  acme: {name: Acme}",
        "agreements:",
        "  gold:",
        "    customer: acme",
        "    name: Gold",
        "    objective: 99.9",
        "    time_zone: Europe/Berlin",
        f"    report_link: file:{LINK_FILE}",
        "    components:",
        *(f"      - c{cluster:03}/*" for cluster in range(wanted.agreed // IN_A_CLUSTER)),
        "    credits:",
        "      - {below: 99.9, credit: 10}",
        "      - {below: 99.0, credit: 25}",
    ]
