"""What must hold of `communication`, `mail`, `console` and where the site is published. Pure."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from holdfast.estate.communication import (
    TEMPLATE_VARIABLE,
    TEMPLATE_VARIABLES,
    Communication,
    Console,
    IncidentRule,
    IncidentTemplate,
    Mail,
)
from holdfast.estate.findings import Finding
from holdfast.estate.model import Estate
from holdfast.estate.ports import ComponentIdentity
from holdfast.estate.scope import declared, matching
from holdfast.estate.source import Path
from holdfast.estate.suggest import did_you_mean
from holdfast.kernel.durations import format_duration

LONGEST_AFTER = timedelta(days=1)
SHORTEST_SESSION = timedelta(minutes=1)
LONGEST_SESSION = timedelta(days=30)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Nearest = Callable[[str, list[ComponentIdentity]], str]
"""A hint for a pattern that matches nothing."""


def communication_rules(estate: Estate, nearest: Nearest) -> Iterator[Iterator[Finding]]:
    """Every rule about how the service talks to its readers."""
    if hasattr(estate, "communication"):
        communication = estate.communication
        for key, template in getattr(communication, "templates", {}).items():
            yield _braces(("communication", "templates", key), template)
        for key, rule in getattr(communication, "rules", {}).items():
            path: Path = ("communication", "rules", key)
            yield _components(path, rule, estate, nearest)
            yield _lengths(path, rule)
            yield _twice((*path, "states"), rule.states if hasattr(rule, "states") else ())
            yield _template(path, rule, communication)
        yield _subscriptions(communication)
        for key, report in getattr(communication, "reports", {}).items():
            yield _agreement(("communication", "reports", key), report.agreement, estate)
            yield _closing(("communication", "reports", key), report.agreement, estate)
            yield _twice(("communication", "reports", key, "to"), getattr(report, "to", ()))
    if getattr(estate, "mail", None) is not None:
        yield _mail(estate.mail)
    if hasattr(estate, "console"):
        yield _console_listen(estate)
        yield _sessions(estate.console)
        yield _openid(estate.console)
    yield _published(estate)


def _braces(path: Path, template: IncidentTemplate) -> Iterator[Finding]:
    for field in ("title", "body"):
        text = getattr(template, field, "")
        if "{{" in TEMPLATE_VARIABLE.sub("", text):
            hint = "a variable is one word: {{ component }}"
            yield Finding((*path, field), "`{{` begins no variable", hint)


def _components(path: Path, rule: IncidentRule, estate: Estate, nearest: Nearest) -> Iterator[Finding]:
    everything = list(declared(estate))
    for index, pattern in enumerate(rule.components):
        if not matching(pattern, everything):
            hint = nearest(pattern, everything)
            yield Finding((*path, "components", index), f"`{pattern}` matches no component", hint)


def _lengths(path: Path, rule: IncidentRule) -> Iterator[Finding]:
    longest = format_duration(LONGEST_AFTER)
    if rule.after > LONGEST_AFTER:
        yield Finding(
            (*path, "after"), "longer than a day", f"readers want to know sooner: at most {longest}"
        )
    if rule.resolve_after is not None and rule.resolve_after > LONGEST_AFTER:
        hint = f"at most {longest}; leave it out, and a person resolves it"
        yield Finding((*path, "resolve_after"), "longer than a day", hint)


def _twice(path: Path, values: Sequence[str]) -> Iterator[Finding]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Finding((*path, index), f"`{value}` is given twice", "keep one of the two")


def _template(path: Path, rule: IncidentRule, communication: Communication) -> Iterator[Finding]:
    if rule.template is None:
        return
    where = (*path, "template")
    template = communication.templates.get(rule.template)
    if template is None:
        known = communication.templates
        hint = did_you_mean(rule.template, known, otherwise="declare it under `communication.templates`")
        yield Finding(where, f"no template is called `{rule.template}`", hint)
        return
    if template.phase == "resolved":
        yield Finding(where, f"`{rule.template}` says that it is over", "a rule opens with another phase")
    for text in (template.title, template.body):
        for name in dict.fromkeys(TEMPLATE_VARIABLE.findall(text)):
            if name not in TEMPLATE_VARIABLES:
                message = f"`{rule.template}` asks for `{name}`, which no rule knows"
                yield Finding(where, message, did_you_mean(name, TEMPLATE_VARIABLES))


def _subscriptions(communication: Communication) -> Iterator[Finding]:
    path: Path = ("communication", "subscriptions")
    yield from _twice((*path, "channels"), communication.subscriptions.channels)
    if communication.subscriptions.degradation_after > LONGEST_AFTER:
        hint = f"at most {format_duration(LONGEST_AFTER)}; who does not want to know does not subscribe to it"
        yield Finding((*path, "degradation_after"), "longer than a day", hint)


def _agreement(path: Path, key: str, estate: Estate) -> Iterator[Finding]:
    if key not in estate.agreements:
        hint = did_you_mean(key, estate.agreements, otherwise="declare it under `agreements`")
        yield Finding((*path, "agreement"), f"no agreement is called `{key}`", hint)


def _closing(path: Path, key: str, estate: Estate) -> Iterator[Finding]:
    """A report is mailed once its month is frozen, and a rolling window never closes."""
    agreement = estate.agreements.get(key)
    if agreement is not None and agreement.window != "calendar_month":
        hint = "schedule reports for agreements whose window is calendar_month"
        yield Finding((*path, "agreement"), f"`{key}` has a rolling window, of which no month closes", hint)


def _mail(mail: Mail | None) -> Iterator[Finding]:
    if mail is None:
        return
    if (mail.username is None) != (mail.password is None):
        missing = "password" if mail.password is None else "username"
        yield Finding(("mail",), f"`{missing}` is missing", "a login has both, or there is none")
    if mail.password is not None and mail.security == "none" and mail.host not in _LOOPBACK:
        hint = "use starttls or tls"
        yield Finding(("mail", "security"), "the password would cross the network readably", hint)


def _console_listen(estate: Estate) -> Iterator[Finding]:
    where: Path = ("console", "listen")
    listen = estate.console.listen
    if int(listen.rpartition(":")[2]) > 65535:
        yield Finding(where, "the port is above 65535")
    elif not listen.endswith(":0") and listen in (estate.site.listen, estate.agents.listen):
        other = "the status site" if listen == estate.site.listen else "the agents' service"
        yield Finding(where, f"{other} answers there", "give it a port of its own")


def _sessions(console: Console) -> Iterator[Finding]:
    for name, length in (("idle", console.idle), ("longest", console.longest)):
        if not SHORTEST_SESSION <= length <= LONGEST_SESSION:
            bounds = f"{format_duration(SHORTEST_SESSION)} to {format_duration(LONGEST_SESSION)}"
            yield Finding(("console", name), "no sensible length for a session", bounds)
    if console.idle > console.longest:
        hint = f"at most `longest`, {format_duration(console.longest)}"
        yield Finding(("console", "idle"), "longer than the longest session", hint)


def _openid(console: Console) -> Iterator[Finding]:
    openid = console.openid
    if openid is None:
        return
    if not openid.roles:
        hint = "give at least one: {claim: groups, value: sre, role: operator}"
        yield Finding(("console", "openid", "roles"), "nobody could log in", hint)
    if "openid" not in openid.scopes:
        yield Finding(("console", "openid", "scopes"), "`openid` is missing", "without it there is no login")
    issuer = urlsplit(openid.issuer)
    if issuer.scheme == "http" and issuer.hostname not in _LOOPBACK:
        hint = "write https://"
        yield Finding(("console", "openid", "issuer"), "logins would cross the network readably", hint)


def _published(estate: Estate) -> Iterator[Finding]:
    for index, place in enumerate(estate.site.publish):
        path: Path = ("site", "publish", index)
        if place.region not in estate.regions:
            hint = did_you_mean(place.region, estate.regions)
            yield Finding((*path, "region"), f"no region is called `{place.region}`", hint)
        if any(each.to == place.to for each in estate.site.publish[:index]):
            yield Finding((*path, "to"), "the site is written there already", "keep one of the two")
