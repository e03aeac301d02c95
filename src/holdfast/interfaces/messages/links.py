"""Where the links in messages lead: the site's pages of incidents, maintenance and subscriptions."""

from dataclasses import dataclass

# The site's routes, below its address.
CONFIRM = "/{language}/subscriptions/confirm/{token}"
MANAGE = "/{language}/subscriptions/manage/{token}"
UNSUBSCRIBE = "/{language}/subscriptions/unsubscribe/{token}"
"""A POST of `List-Unsubscribe=One-Click` ends it (RFC 8058); a GET shows a page with a button."""
INCIDENT = "/{language}/incidents/{id}"
MAINTENANCE = "/{language}/maintenance/{id}"


@dataclass(frozen=True, slots=True)
class Links:
    """`base` is the site's public address, without a slash at its end."""

    base: str

    def confirm(self, language: str, token: str) -> str:
        return self.base + CONFIRM.format(language=language, token=token)

    def manage(self, language: str, token: str) -> str:
        return self.base + MANAGE.format(language=language, token=token)

    def unsubscribe(self, language: str, token: str) -> str:
        return self.base + UNSUBSCRIBE.format(language=language, token=token)

    def incident(self, language: str, incident_id: str) -> str:
        return self.base + INCIDENT.format(language=language, id=incident_id)

    def maintenance(self, language: str, maintenance_id: str) -> str:
        return self.base + MAINTENANCE.format(language=language, id=maintenance_id)

    def home(self, language: str) -> str:
        return f"{self.base}/{language}/"
