"""An estate with vantage points, and agents as processes of their own."""

from pathlib import Path

from installation import Installation, Started

ESTATE = """\
version: 1
site:
  title: Test status
  listen: 127.0.0.1:{site}
agents:
  listen: 127.0.0.1:{agents}
regions:
  here: {{name: Here}}
vantage_points:
  tokyo: {{name: Tokyo}}
  oslo: {{name: Oslo}}
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
            timeout: 800ms
            seen_from: [{seen_from}]
{quorum}"""


def estate(site: int, agents: int, url: str, seen_from: str, quorum: int | None = None) -> str:
    line = "" if quorum is None else f"            quorum: {quorum}\n"
    return ESTATE.format(site=site, agents=agents, url=url, seen_from=seen_from, quorum=line)


class RemoteAgent:
    """An agent in a folder of its own, as on a machine of its own."""

    def __init__(self, installation: Installation, key: str, controller: str) -> None:
        self.key = key
        self.installation = installation
        self.folder = installation.folder / f"agent-{key}"
        self.folder.mkdir(exist_ok=True)
        self.controller = controller
        self.process: Started | None = None

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def spool(self) -> Path:
        return self.folder / "data" / "agent" / "spool"

    def enrol(self) -> None:
        token = self.installation.run("agent", "add", self.key).out.strip()
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token)

    def start(self) -> Started:
        self.process = self.installation.start(
            *("serve", "agent", "--controller", self.controller),
            *("--token-file", str(self.token_file), "--data-dir", str(self.folder / "data")),
        )
        return self.process
