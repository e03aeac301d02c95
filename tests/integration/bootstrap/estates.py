"""Estate files for whole installations: one cluster, two components, checked every second."""

from pathlib import Path

ESTATE = """\
version: 1
site:
  title: Test status
  listen: 127.0.0.1:{port}
regions:
  here:
    name: Here
clusters:
  main:
    name: Main
    region: here
    components:
      web:
        name: Web
        checks:
          page:
            url: {url}
            every: 1s
            timeout: 400ms
      api:
        name: API
        checks:
          health:
            url: {url}
            every: 1s
            timeout: 400ms
customers:
  acme:
    name: ACME
agreements:
  without-notice:
    customer: acme
    name: Without notice
    components: ["*/*"]
    objective: 99.9
    window: 30d
    notice: 0s
    report_link: file:link
  with-notice:
    customer: acme
    name: With notice
    components: ["*/*"]
    objective: 99.9
    window: 30d
    notice: 72h
"""


def estate(port: int, url: str) -> str:
    """The estate file whose site listens on `port` and whose checks ask for `url`."""
    return ESTATE.format(port=port, url=url)


def put_link(folder: Path, secret: str) -> None:
    """The secret of the report link that the estate refers to, readable by its owner only."""
    path = folder / "link"
    path.touch(mode=0o600)
    path.write_text(secret)


WITHOUT_API = """\
      api:
        name: API
        checks:
          health:
            url: {url}
            every: 1s
            timeout: 400ms
"""


def without_api(text: str, url: str) -> str:
    """The same estate with its second component removed."""
    changed = text.replace(WITHOUT_API.format(url=url), "")
    assert changed != text
    return changed


def with_web_renamed(text: str) -> str:
    """The same estate with `web` called `portal`, and saying what it was."""
    changed = text.replace(
        "      web:\n        name: Web\n", "      portal:\n        name: Portal\n        was: [web]\n"
    )
    assert changed != text
    return changed
