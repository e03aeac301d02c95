"""A git repository with the history that Upptime would have committed."""

import os
import subprocess
from datetime import datetime
from pathlib import Path

CONFIG = """\
sites:
  - {name: API, url: "https://api.example.org"}
  - {name: Front Page, url: "https://example.org"}
status-website: {name: Shop status}
"""
HISTORY = """\
url: {url}
status: {status}
code: {code}
responseTime: 12
lastUpdated: {at}
startTime: 2026-01-01T00:00:00.000Z
generator: Upptime <https://github.com/upptime/upptime>
"""


class Repository:
    """A fresh repository in `folder`; `record` commits as Upptime's bot does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "history").mkdir(parents=True)
        (folder / ".upptimerc.yml").write_text(CONFIG)
        self.git("init", "--quiet")

    def git(self, *arguments: str, at: datetime | None = None) -> None:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        if at is not None:
            environment |= {"GIT_AUTHOR_DATE": at.isoformat(), "GIT_COMMITTER_DATE": at.isoformat()}
        identity = ("-c", "user.name=Upptime Bot", "-c", "user.email=bot@example.org")
        subprocess.run(("git", *identity, *arguments), cwd=self.folder, env=environment, check=True)

    def record(self, at: datetime, slug: str, url: str, status: str, code: int) -> None:
        text = HISTORY.format(url=url, status=status, code=code, at=f"{at:%Y-%m-%dT%H:%M:%S}.000Z")
        (self.folder / "history" / f"{slug}.yml").write_text(text)
        self.git("add", ".")
        self.git(
            "commit", "--quiet", "-m", f"{slug} is {status} ({code} in 12 ms) [skip ci] [upptime]", at=at
        )
