"""The website of a cluster: the queue, and a form to submit a job. It knows the API, never the database."""

from datetime import datetime
from html import escape
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from printcloud.bodies import read_bounded
from printcloud.upstream import ApiAwayError, ask

CLUSTER_NAMES = {"eu": "EU", "eu2": "EU2", "usa": "USA"}
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5a6675; --paper: #fff; --line: #d9dee5;
  --accent: #1d5fa8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --dim: #9aa7b7; --paper: #14181e; --line: #2d3541; --accent: #7db4f0 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 46rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--line) }
td { overflow-wrap: anywhere } th, .dim { color: var(--dim); font-weight: 500 }
form { display: grid; gap: .8rem; max-width: 24rem }
label { display: grid; gap: .2rem }
input, button { font: inherit; padding: .45rem .6rem; border: 1px solid var(--line); border-radius: .3rem;
  color: inherit; background: transparent }
button { background: var(--accent); border-color: var(--accent); color: var(--paper); cursor: pointer }
.notice { border-left: .25rem solid #b3541e; padding: .4rem .8rem }
"""


def create_website(api_url: str, cluster: str) -> Starlette:
    """The application; `api_url` is the API of the same cluster, such as http://127.0.0.1:18111."""
    name = CLUSTER_NAMES.get(cluster, cluster)

    async def front(_: Request) -> Response:
        return await render(notice="", status=200)

    async def submit(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return await render(notice="Jobs are submitted from this page only.", status=403)
        form = {
            field: values[0]
            for field, values in parse_qs((await read_bounded(request)).decode("utf-8", "replace")).items()
        }
        pages = form.get("pages", "1")
        job = {
            "owner": form.get("owner", ""),
            "title": form.get("title", ""),
            "pages": int(pages) if pages.isascii() and pages.isdigit() and len(pages) < 9 else pages,
        }
        try:
            status, answer = await ask(f"{api_url}/jobs", method="POST", body=job)
        except ApiAwayError:
            return await render(notice="Your job could not be submitted. Please try again.", status=503)
        if status != 201:
            return await render(notice=str(answer.get("error", "The job was refused.")), status=status)
        return RedirectResponse("/", 303, headers=SECURITY_HEADERS)

    async def render(*, notice: str, status: int) -> Response:
        try:
            answered, answer = await ask(f"{api_url}/jobs?limit=20")
            jobs = answer.get("jobs") if answered == 200 else None
        except ApiAwayError:
            jobs = None
        return HTMLResponse(page(name, jobs, notice), status, headers=SECURITY_HEADERS)

    async def style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})

    async def refused(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return HTMLResponse(
            page(name, [], error.detail),
            error.status_code,
            headers={**(error.headers or {}), **SECURITY_HEADERS},
        )

    return Starlette(
        routes=[
            Route("/", front),
            Route("/jobs", submit, methods=["POST"]),
            Route("/style.css", style),
        ],
        exception_handlers={HTTPException: refused},
    )


def page(cluster: str, jobs: object, notice: str) -> str:
    """The whole page. `jobs` is what the API listed, or None while it cannot be reached."""
    shown = f'<p class="notice" role="alert">{escape(notice)}</p>' if notice else ""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Printcloud {escape(cluster)}</title><link rel="stylesheet" href="/style.css"></head>
<body>
<h1>Printcloud {escape(cluster)}</h1>
{shown}
<main>
<h2>Submit a job</h2>
<form method="post" action="/jobs">
<label>Your name <input name="owner" required maxlength="100" autocomplete="name"></label>
<label>Document <input name="title" required maxlength="200"></label>
<label>Pages <input name="pages" type="number" min="1" max="10000" value="1" required></label>
<button>Print</button>
</form>
{queue(jobs) if isinstance(jobs, list) else queue_away()}
</main>
</body>
</html>
"""


def queue(jobs: list[object]) -> str:
    """The newest jobs as a table."""
    if not jobs:
        return '<h2>Print queue</h2>\n<p class="dim">No job yet.</p>'
    rows = "\n".join(row(job) for job in jobs if isinstance(job, dict))
    return (
        "<h2>Print queue</h2>\n<table><thead><tr><th>Document</th><th>Owner</th><th>Pages</th><th>Status</th>"
        f"<th>Submitted (UTC)</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
    )


def queue_away() -> str:
    return (
        '<p class="notice" role="alert">The jobs cannot be shown at the moment. Please try again shortly.</p>'
    )


def row(job: dict[object, object]) -> str:
    cells = [str(job.get(field, "")) for field in ("title", "owner", "pages", "status")]
    submitted = datetime.fromisoformat(str(job["submitted_at"]))
    cells.append(f"{submitted:%Y-%m-%d %H:%M:%S}")
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
