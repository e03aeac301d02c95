"""What must hold between the parts of an estate. Pure: given the estate, say what is wrong with it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from holdfast.estate.alert_rules import alert_rules
from holdfast.estate.backup_rules import backup_rules
from holdfast.estate.check_rules import ConditionCheck, check_rules, metric_rules
from holdfast.estate.checks import Check, HeartbeatCheck
from holdfast.estate.communication_rules import communication_rules
from holdfast.estate.dependency_rules import dependency_rules
from holdfast.estate.drill_rules import drill_rules
from holdfast.estate.findings import Finding
from holdfast.estate.ledger_rules import ledger_rules
from holdfast.estate.model import Agreement, Cluster, Component, Estate, Metric
from holdfast.estate.recovery_rules import recovery_rules
from holdfast.estate.scope import declared, matching
from holdfast.estate.source import Path
from holdfast.estate.suggest import closest, did_you_mean
from holdfast.estate.values import LOCAL
from holdfast.kernel.durations import format_duration

SHORTEST_WINDOW = timedelta(days=1)
LONGEST_WINDOW = timedelta(days=366)
_WIRE = ("body", "send")
_LINES = ("description", "expect", "query")
# Also the characters that turn the direction of text: they make a page say what the file does not.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def findings_in(estate: Estate, check_condition: ConditionCheck, *, partial: bool = False) -> list[Finding]:
    """All that the rules have to say. In a partial estate a rule stops where it meets an absent value."""
    findings: list[Finding] = []
    for rule in _rules(estate, check_condition):
        try:
            findings.extend(rule)
        except AttributeError:
            if not partial:
                raise
    return findings


def control_findings(texts: Iterable[tuple[Path, str]]) -> Iterator[Finding]:
    """Characters that nobody can see, in any text that is shown or sent in a line."""
    for path, text in texts:
        field = next((step for step in reversed(path) if isinstance(step, str)), "")
        if field in _WIRE:
            continue
        visible = text.replace("\n", "").replace("\t", "") if field in _LINES else text.strip()
        if found := _CONTROL.search(visible):
            hint = "write it on one line" if found[0] == "\n" else "remove it"
            yield Finding(path, f"holds the control character U+{ord(found[0]):04X}", hint)


def _rules(estate: Estate, check_condition: ConditionCheck) -> Iterator[Iterator[Finding]]:
    yield _languages(estate)
    yield _listen(estate)
    yield _agents_listen(estate)
    yield _site_url(estate)
    yield _retention(estate)
    clusters: Mapping[str, Cluster] = getattr(estate, "clusters", {})
    yield _formerly(clusters, ("clusters",))
    yield _vantage_points(estate)
    for cluster_key, cluster in clusters.items():
        path: Path = ("clusters", cluster_key)
        yield _region(path, cluster, estate)
        yield _secondary(path, cluster, estate)
        components: Mapping[str, Component] = getattr(cluster, "components", {})
        yield _formerly(components, (*path, "components"))
        for key, component in components.items():
            yield from _component_rules((*path, "components", key), component, check_condition)
            for check_key, check in getattr(component, "checks", {}).items():
                yield _seen_from((*path, "components", key, "checks", check_key), check, estate)
    agreements: Mapping[str, Agreement] = getattr(estate, "agreements", {})
    for key, agreement in agreements.items():
        yield from _agreement_rules(("agreements", key), agreement, estate)
    yield _report_links(agreements)
    yield _beat_tokens(clusters)
    yield from alert_rules(estate, _nearest_pattern)
    yield from communication_rules(estate, _nearest_pattern)
    yield from dependency_rules(estate, _nearest_pattern)
    yield from backup_rules(estate)
    yield from ledger_rules(estate)
    yield from recovery_rules(estate)
    yield from drill_rules(estate)


def _component_rules(
    path: Path, component: Component, check_condition: ConditionCheck
) -> Iterator[Iterator[Finding]]:
    checks: Mapping[str, Check] = getattr(component, "checks", {})
    yield _formerly(checks, (*path, "checks"))
    for key, check in checks.items():
        yield from check_rules((*path, "checks", key), check, check_condition)
    metrics: Mapping[str, Metric] = getattr(component, "metrics", {})
    for key, metric in metrics.items():
        yield from metric_rules((*path, "metrics", key), metric)


def _agreement_rules(path: Path, agreement: Agreement, estate: Estate) -> Iterator[Iterator[Finding]]:
    yield _customer(path, agreement, estate)
    yield _scope(path, agreement, estate)
    yield _window(path, agreement)
    yield _credits_descend(path, agreement)
    yield _credits_below_objective(path, agreement)


def _languages(estate: Estate) -> Iterator[Finding]:
    for index, language in enumerate(estate.site.languages):
        if language in estate.site.languages[:index]:
            yield Finding(("site", "languages", index), f"`{language}` is given twice", "keep one of the two")


def _listen(estate: Estate) -> Iterator[Finding]:
    # Port 0 is allowed: the system picks a free one, which tests and demos ask for.
    if int(estate.site.listen.rpartition(":")[2]) > 65535:
        yield Finding(("site", "listen"), "the port is above 65535")


def _agents_listen(estate: Estate) -> Iterator[Finding]:
    port = int(estate.agents.listen.rpartition(":")[2])
    if not 1 <= port <= 65535:
        yield Finding(("agents", "listen"), "not a port that can be called", "1 to 65535")
    elif estate.agents.listen == estate.site.listen:
        yield Finding(("agents", "listen"), "the status site answers there", "give it a port of its own")


def _site_url(estate: Estate) -> Iterator[Finding]:
    if estate.site.url is None:
        return
    try:
        parts = urlsplit(estate.site.url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable or parts.username is not None:
        yield Finding(
            ("site", "url"), "not a public address", "write https:// and the host that people visit"
        )
    elif parts.query or parts.fragment:
        yield Finding(("site", "url"), "a public address has no ? and no #", "end it with the host or a path")


def _retention(estate: Estate) -> Iterator[Finding]:
    kept = estate.retention
    steps = (("results", kept.results), ("minutes", kept.minutes), ("hours", kept.hours), ("days", kept.days))
    for name, length in steps:
        if length < timedelta(hours=1):
            yield Finding(("retention", name), "shorter than 1h")
    for (finer, shorter), (coarser, longer) in pairwise(steps):
        if longer < shorter:
            name = coarser if coarser in kept.model_fields_set else finer
            message = f"`{coarser}` ({format_duration(longer)}) is kept for less than `{finer}`"
            hint = f"keep it for {format_duration(shorter)} or longer"
            yield Finding(("retention", name), message, hint)


def _formerly(siblings: Mapping[str, Cluster | Component | Check], path: Path) -> Iterator[Finding]:
    """`was:` names keys that are free, or whose present holder says itself that it had another name."""
    claimed: dict[str, str] = {}
    for key, part in siblings.items():
        for index, former in enumerate(getattr(part, "was", ())):
            where = (*path, key, "was", index)
            if former == key:
                yield Finding(where, f"`{key}` is what it is called now", "name former keys only")
            elif former in claimed:
                other = claimed[former]
                hint = "its history can go to one of them only"
                yield Finding(where, f"`{former}` is claimed by `{other}` already", hint)
            elif former in siblings and not getattr(siblings[former], "was", ()):
                hint = f"remove it here, or, if the two changed names, give `{former}` its own `was`"
                yield Finding(where, f"`{former}` is still in use", hint)
            claimed.setdefault(former, key)


def _vantage_points(estate: Estate) -> Iterator[Finding]:
    if LOCAL in estate.vantage_points:
        hint = "it is always there; give the agent another key"
        yield Finding(("vantage_points", LOCAL), "is the controller itself", hint)


def _seen_from(path: Path, check: Check, estate: Estate) -> Iterator[Finding]:
    known = [LOCAL, *estate.vantage_points]
    for place, vantage in enumerate(check.seen_from):
        if vantage not in known:
            hint = did_you_mean(vantage, known, otherwise="declare it under `vantage_points`")
            yield Finding((*path, "seen_from", place), f"no vantage point is called `{vantage}`", hint)
        if vantage in check.seen_from[:place]:
            yield Finding((*path, "seen_from", place), f"`{vantage}` is there twice", "leave one out")
    if check.quorum is not None and check.quorum > len(check.seen_from):
        yield Finding(
            (*path, "quorum"),
            f"{check.quorum} vantage points can never agree: the check has {len(check.seen_from)}",
            "lower it, or name more in seen_from",
        )


def _region(path: Path, cluster: Cluster, estate: Estate) -> Iterator[Finding]:
    if cluster.region not in estate.regions:
        hint = did_you_mean(cluster.region, estate.regions)
        yield Finding((*path, "region"), f"no region is called `{cluster.region}`", hint)


def _secondary(path: Path, cluster: Cluster, estate: Estate) -> Iterator[Finding]:
    where = (*path, "secondary")
    if cluster.secondary is None:
        return
    if cluster.secondary not in estate.regions:
        hint = did_you_mean(cluster.secondary, estate.regions)
        yield Finding(where, f"no region is called `{cluster.secondary}`", hint)
    elif cluster.secondary == cluster.region:
        hint = "recovery needs another region; name one, or remove the key"
        yield Finding(where, "the secondary region is the primary one", hint)


def _customer(path: Path, agreement: Agreement, estate: Estate) -> Iterator[Finding]:
    if agreement.customer not in estate.customers:
        hint = did_you_mean(agreement.customer, estate.customers, otherwise="declare it under `customers`")
        yield Finding((*path, "customer"), f"no customer is called `{agreement.customer}`", hint)


def _scope(path: Path, agreement: Agreement, estate: Estate) -> Iterator[Finding]:
    everything = list(declared(estate))
    for index, pattern in enumerate(agreement.components):
        if not matching(pattern, everything):
            hint = _nearest_pattern(pattern, everything)
            yield Finding((*path, "components", index), f"`{pattern}` matches no component", hint)


def _nearest_pattern(pattern: str, everything: list[tuple[str, str]]) -> str:
    cluster, _, component = pattern.partition("/")
    clusters = list(dict.fromkeys(pair[0] for pair in everything))
    near_cluster = cluster if cluster in ("*", *clusters) else closest(cluster, clusters)
    if near_cluster is None:
        return "clusters: " + ", ".join(clusters[:24])
    here = list(dict.fromkeys(pair[1] for pair in matching(f"{near_cluster}/*", everything)))
    near = component if component in ("*", *here) else closest(component, here)
    if near is None:
        return f"components of {near_cluster}: " + ", ".join(here[:24])
    return f"did you mean `{near_cluster}/{near}`?"


def _window(path: Path, agreement: Agreement) -> Iterator[Finding]:
    if isinstance(agreement.window, timedelta) and not SHORTEST_WINDOW <= agreement.window <= LONGEST_WINDOW:
        hint = "write calendar_month, or a rolling window such as 30d"
        yield Finding((*path, "window"), "a rolling window is 1d to 366d long", hint)


def _credits_descend(path: Path, agreement: Agreement) -> Iterator[Finding]:
    for index, (above, tier) in enumerate(pairwise(agreement.credits), start=1):
        where = (*path, "credits", index)
        if tier.below == above.below:
            yield Finding((*where, "below"), f"below {tier.below} is given twice", "keep one of the two")
        elif tier.below > above.below:
            hint = "order the tiers from the highest `below` down"
            yield Finding((*where, "below"), f"{tier.below} comes after {above.below}", hint)
        elif tier.credit <= above.credit:
            hint = f"a lower availability is owed more than {above.credit}"
            yield Finding((*where, "credit"), f"{tier.credit} is not more than the tier above", hint)


def _credits_below_objective(path: Path, agreement: Agreement) -> Iterator[Finding]:
    for index, tier in enumerate(agreement.credits):
        if tier.below > agreement.objective:
            message = f"a credit below {tier.below}, although the objective is {agreement.objective}"
            hint = "a credit is owed for a missed objective only; lower it, or raise the objective"
            yield Finding((*path, "credits", index, "below"), message, hint)


def _report_links(agreements: Mapping[str, Agreement]) -> Iterator[Finding]:
    holders: dict[tuple[str, str], tuple[str, str]] = {}
    for key, agreement in agreements.items():
        link = agreement.report_link
        if link is None:
            continue
        other, customer = holders.setdefault((link.source, link.name), (key, agreement.customer))
        if customer != agreement.customer:
            hint = "one customer could read the other's report; use a secret for each"
            yield Finding(("agreements", key, "report_link"), f"the same secret as agreement `{other}`", hint)


def _beat_tokens(clusters: Mapping[str, Cluster]) -> Iterator[Finding]:
    """A beat tells by its token alone which check it is for."""
    holders: dict[tuple[str, str], str] = {}
    for cluster_key, cluster in clusters.items():
        for key, component in getattr(cluster, "components", {}).items():
            for check_key, check in getattr(component, "checks", {}).items():
                token = getattr(check, "token", None)
                if not isinstance(check, HeartbeatCheck) or token is None:
                    continue
                name = f"{cluster_key}/{key}/{check_key}"
                other = holders.setdefault((token.source, token.name), name)
                if other != name:
                    where: Path = ("clusters", cluster_key, "components", key, "checks", check_key, "token")
                    yield Finding(where, f"the same secret as {other}", "use a secret for each")
