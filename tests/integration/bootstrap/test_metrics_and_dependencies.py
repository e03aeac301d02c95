"""A running Holdfast asks for the metrics that the estate names, and says what an outage is because of."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from estates import estate, put_link
from installation import eventually, fetch, free_port, installed
from targets import answering

METRICS = """\
        depends_on: [main/web]
        metrics:
          jobs: {{name: Jobs printed, url: "http://127.0.0.1:{port}", query: sum(jobs), unit: /s}}
          queue: {{name: Waiting jobs, url: "http://127.0.0.1:{port}", query: nothing}}
"""


@contextmanager
def prometheus() -> Iterator[int]:
    """Speaks the API of Prometheus: 42.5 for `sum(jobs)`, and no series for anything else."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            result = [{"metric": {}, "value": [1, "42.5"]}] if query.startswith(b"query=sum%28jobs") else []
            body = {"status": "success", "data": {"resultType": "vector", "result": result}}
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            serving.join()


def test_metrics_are_charted_and_an_outage_names_its_cause(tmp_path: Path) -> None:
    port = free_port()
    with answering() as web, answering() as api, prometheus() as metrics_port:
        text = estate(port, web.url)
        head, mark, tail = text.partition("        name: API\n")
        assert mark
        text = head + mark + METRICS.format(port=metrics_port) + tail.replace(web.url, api.url)
        with installed(tmp_path / "metrics", text) as installation:
            put_link(installation.folder, "x" * 40)
            installation.up()
            rows = "SELECT key, value FROM availability.metric_minute"
            eventually(lambda: installation.query(rows), "a value is recorded")
            assert set(installation.query(rows)) == {("jobs", 42.5)}, "no series is a gap"
            status, page = fetch(f"http://127.0.0.1:{port}/en/clusters/main/api")
            assert status == 200
            assert "Jobs printed: between 42.5 /s and 42.5 /s, 42.5 /s at the end" in page
            assert "No value is known in this range." in page

            web.well = False
            api.well = False

            def causes() -> dict[str, list[str]]:
                shown = installation.run("status", "--json").json["components"]
                return {each["component"]: each["because_of"] for each in shown}

            eventually(lambda: causes() == {"web": [], "api": ["main/web"]}, "the cause is named")
            said = installation.run("status", "--once").out
            assert "because of Main Web" in said
            eventually(
                lambda: "because of <a" in fetch(f"http://127.0.0.1:{port}/en/clusters/main/api")[1],
                "the page names it too",
            )
