"""What can be wrong with how the service talks to its readers, and how that is told."""

import pytest
from estate_files import VALID, load, problems

EXAMPLE = (
    VALID
    + """
communication:
  templates:
    outage: {name: Outage, title: '{{ components }}', body: 'Since {{ since }}: {{cause}}'}
    done: {name: Done, body: It is over., phase: resolved}
    eta: {name: Estimate, body: 'By {{ until }}.'}
  rules:
    down: {components: [eu/*], template: outage, resolve_after: 5m}
  reports:
    monthly: {agreement: gold, to: [a@b.c]}
mail: {host: mail.example.com, sender: s@example.com, username: u, password: env:P}
console:
  listen: '127.0.0.1:8082'
  openid:
    issuer: https://login.example.com
    client_id: x
    client_secret: env:S
    roles: [{value: sre, role: operator}]
"""
)


def problem(old: str, new: str) -> tuple[str, str, str]:
    """The one thing wrong once `old` is `new`: its path, the message, the hint."""
    assert EXAMPLE.count(old) == 1
    (found,) = problems(EXAMPLE.replace(old, new))
    assert found.line > 0
    return found.path, found.message, found.hint


def test_the_example_is_right() -> None:
    estate = load(EXAMPLE)
    assert estate.communication.rules["down"].after.total_seconds() == 120
    assert estate.communication.rules["down"].open_as == "draft"


@pytest.mark.parametrize(
    ("old", "new", "path", "message", "hint"),
    [
        (
            "components: [eu/*]",
            "components: [eu/wep]",
            "communication.rules.down.components[0]",
            "`eu/wep` matches no component",
            "did you mean `eu/web`?",
        ),
        (
            "template: outage",
            "template: outtage",
            "communication.rules.down.template",
            "no template is called `outtage`",
            "did you mean `outage`?",
        ),
        (
            "template: outage",
            "template: done",
            "communication.rules.down.template",
            "`done` says that it is over",
            "a rule opens with another phase",
        ),
        (
            "{{cause}}",
            "{{ causes }}",
            "communication.rules.down.template",
            "`outage` asks for `causes`, which no rule knows",
            "did you mean `cause`?",
        ),
        (
            "By {{ until }}.",
            "By {{ until then }}.",
            "communication.templates.eta.body",
            "`{{` begins no variable",
            "a variable is one word: {{ component }}",
        ),
        (
            "resolve_after: 5m",
            "resolve_after: 25h",
            "communication.rules.down.resolve_after",
            "longer than a day",
            "at most 1d; leave it out, and a person resolves it",
        ),
        (
            "resolve_after: 5m",
            "after: 2d",
            "communication.rules.down.after",
            "longer than a day",
            "readers want to know sooner: at most 1d",
        ),
        (
            "resolve_after: 5m",
            "states: [degraded, degraded]",
            "communication.rules.down.states[1]",
            "`degraded` is given twice",
            "keep one of the two",
        ),
        (
            "  reports:",
            "  subscriptions: {channels: [mail, mail]}\n  reports:",
            "communication.subscriptions.channels[1]",
            "`mail` is given twice",
            "keep one of the two",
        ),
        (
            "agreement: gold",
            "agreement: golt",
            "communication.reports.monthly.agreement",
            "no agreement is called `golt`",
            "did you mean `gold`?",
        ),
        (
            ", password: env:P",
            "",
            "mail",
            "`password` is missing",
            "a login has both, or there is none",
        ),
        (
            "password: env:P",
            "password: env:P, security: none",
            "mail.security",
            "the password would cross the network readably",
            "use starttls or tls",
        ),
        (
            "127.0.0.1:8082",
            "127.0.0.1:8080",
            "console.listen",
            "the status site answers there",
            "give it a port of its own",
        ),
        ("127.0.0.1:8082", "127.0.0.1:80820", "console.listen", "the port is above 65535", ""),
        (
            "  openid:",
            "  idle: 13h\n  openid:",
            "console.idle",
            "longer than the longest session",
            "at most `longest`, 12h",
        ),
        (
            "[{value: sre, role: operator}]",
            "[]",
            "console.openid.roles",
            "nobody could log in",
            "give at least one: {claim: groups, value: sre, role: operator}",
        ),
        (
            "https://login",
            "http://login",
            "console.openid.issuer",
            "logins would cross the network readably",
            "write https://",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    old: str, new: str, path: str, message: str, hint: str
) -> None:
    assert problem(old, new) == (path, message, hint)


def test_the_site_is_published_in_known_regions_and_once_in_each_place() -> None:
    place = "{region: %s, to: 'file:///srv/status'}"
    text = f"site: {{publish: [{place % 'wast'}, {place % 'west'}]}}\n{VALID}"
    wrong, twice = problems(text)
    assert (wrong.path, wrong.hint) == ("site.publish[0].region", "did you mean `west`?")
    assert (twice.path, twice.message) == ("site.publish[1].to", "the site is written there already")


def test_reports_are_scheduled_for_months_that_close() -> None:
    text = EXAMPLE.replace("    objective:", "    window: 30d\n    objective:", 1)
    assert text != EXAMPLE
    (found,) = problems(text)
    assert found.path == "communication.reports.monthly.agreement"
    assert found.message == "`gold` has a rolling window, of which no month closes"
