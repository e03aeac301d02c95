"""Jobs in the console: a tenant's entries with filters and columns, each entry's trace, and who read them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from holdfast.estate.model import zone
from holdfast.identity.model import Right
from holdfast.interfaces.console.moments import moment_of
from holdfast.interfaces.console.shell import ConsolePage, actor_of, page, shell_of
from holdfast.interfaces.job_lists import MEDIA_TYPES, FileForm, written
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.find.access import Access, Act, Caller, Way
from holdfast.ledger.find.columns import COLUMNS, USUAL, Column, chosen, row_of, standing_of
from holdfast.ledger.find.finding import Dimension, Filter, What
from holdfast.ledger.find.jobs import Job, JobsDesk, JobsPage
from holdfast.ledger.find.tracing import Tracer
from holdfast.ledger.model import Kind, Status
from holdfast.ledger.sources import Tenant

PAGE = 50
ACCESSES = 100
MOST_LEAF = 16
"""Digits of a leaf's number."""
FACTS = [each for each in COLUMNS.values() if each.name not in ("leaf", "what", "standing")]
"""What an entry's page lists; the others are in its heading."""
ACTS = {Act.READ: "read", Act.EXPORT: "exported", Act.TRACE: "traced"}
JOBS, ENTRY, EXPORT, ACCESS = "/jobs", "/jobs/entry", "/jobs/export", "/jobs/accesses"

_TEXTS = (Dimension.JOB, Dimension.USER, Dimension.DEVICE, Dimension.COST_CENTRE, Dimension.SOURCE)
_CHOICES: Mapping[Dimension, Sequence[str]] = {
    Dimension.KIND: [each.value for each in Kind],
    Dimension.STATUS: [each.value for each in Status],
    Dimension.WHAT: [each.value for each in What],
}


@dataclass(frozen=True)
class Asked:
    """What the filter's form says."""

    tenant: str = ""
    since: str = ""
    until: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    below: int | None = None

    @classmethod
    def of(cls, request: Request) -> "Asked":
        query = request.query_params
        below = query.get("below", "")
        return cls(
            query.get("tenant", ""),
            query.get("since", ""),
            query.get("until", ""),
            {name: query[name].strip() for name in (*_TEXTS, *_CHOICES) if query.get(name, "").strip()},
            tuple(islice(dict.fromkeys(query.getlist("column")), len(COLUMNS))),
            int(below) if below.isdecimal() and len(below) <= MOST_LEAF else None,
        )

    def filter(self, local: ZoneInfo) -> Filter:
        """Raises NotPossible for a time that is none, Unsuitable for anything else."""
        wanted = {Dimension(name): [value] for name, value in self.values.items()}
        return Filter.of(
            moment_of(self.since, local, "From"),
            _behind(moment_of(self.until, local, "Until")),
            wanted,
        )

    def query(self, **more: object) -> str:
        """The same, as part of an address."""
        pairs = [("tenant", self.tenant), ("since", self.since), ("until", self.until), *self.values.items()]
        pairs += [("column", each) for each in self.columns]
        return urlencode([*((k, v) for k, v in pairs if v), *((k, str(v)) for k, v in more.items())])


def _behind(until: datetime | None) -> datetime | None:
    """A time to the minute means that minute too."""
    return None if until is None else until + timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry on the page; for a correction also what the original has in the columns."""

    job: Job
    standing: str
    cells: Sequence[object]
    original: Sequence[object] | None


class JobsPages:
    """The pages over the desk. `tenants` lists whose ledgers there are."""

    def __init__(
        self,
        desk: JobsDesk,
        tracer: Tracer,
        tenants: Callable[[], Awaitable[Sequence[Tenant]]],
        declared: Callable[[], bool] = lambda: True,
    ) -> None:
        """`declared`: whether the estate in force has a ledger."""
        self._desk = desk
        self._declared = declared
        self._tracer = tracer
        self._tenants = tenants

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                JOBS,
                self.listed,
                Right.LEDGER,
                title="Jobs",
                about="Every print, scan, copy and fax job, with its proof.",
                listed=self._declared,
            ),
            ConsolePage(EXPORT, self.export, Right.LEDGER),
            ConsolePage(f"{ENTRY}/{{tenant}}/{{leaf}}", self.entry, Right.LEDGER),
            ConsolePage(ACCESS, self.accesses, Right.AUDIT),
        ]

    async def listed(self, request: Request) -> Response:
        asked = Asked.of(request)
        tenants = await self._tenants()
        trouble: HoldfastError | None = None
        found: JobsPage | None = None
        columns = chosen(())
        if not asked.tenant and len(tenants) == 1:
            asked = Asked(tenants[0].key)
        try:
            columns = chosen(asked.columns)
            wanted = asked.filter(_zone(request))
            if asked.tenant:
                found = await self._desk.page(
                    _caller(request), asked.tenant, wanted, limit=PAGE, below=asked.below
                )
        except HoldfastError as error:
            trouble = error
        return page(
            request,
            "jobs.html",
            status=200 if trouble is None or isinstance(trouble, NotThere) else 422,
            title="Jobs",
            asked=asked,
            tenants=tenants,
            texts=[(each, COLUMNS[each].heading) for each in _TEXTS],
            choices=[(each, COLUMNS[each].heading, values) for each, values in _CHOICES.items()],
            every_column=list(COLUMNS.values()),
            shown={each.name for each in columns},
            columns=columns,
            found=found,
            rows=[] if found is None else [_row(job, columns) for job in found.jobs],
            trouble=trouble,
            forms=list(FileForm),
        )

    async def export(self, request: Request) -> Response:
        """All that match, as a file. A browser shows a download that broke off as failed."""
        asked = Asked.of(request)
        name = request.query_params.get("format", FileForm.CSV)
        if name not in set(FileForm):
            raise Unsuitable(f"there is no form {name[:20]!r}", hint=f"there are: {', '.join(FileForm)}")
        form, columns = FileForm(name), chosen(asked.columns or USUAL)
        wanted = asked.filter(_zone(request))
        portions = await self._desk.export(_caller(request), asked.tenant, wanted)
        # The tenant is one that has a log: nothing else stands in the name of the file.
        return StreamingResponse(
            written(form, columns, portions),
            media_type=MEDIA_TYPES[form],
            headers={"content-disposition": f'attachment; filename="jobs-{asked.tenant}.{form}"'},
        )

    async def entry(self, request: Request) -> Response:
        """Everything about the entry at a leaf, proved while one waits."""
        tenant, text = request.path_params["tenant"], request.path_params["leaf"]
        if not text.isdecimal() or len(text) > MOST_LEAF:
            raise NotThere(f"there is no leaf {text[:40]!r}")
        trace = await self._tracer.trace(_caller(request), tenant, int(text))
        return page(
            request,
            "job.html",
            title=f"Entry {int(text):,}",
            tenant=tenant,
            leaf=int(text),
            trace=trace,
            facts=[
                [
                    (column, value)
                    for column, value in zip(FACTS, row_of(each.job, FACTS), strict=True)
                    if value is not None
                ]
                for each in trace.entries
            ],
            standings=[standing_of(each.job) for each in trace.entries],
            asked_of=asked_of,
            acts=ACTS,
        )

    async def accesses(self, request: Request) -> Response:
        tenant = request.query_params.get("tenant", "")
        tenants = await self._tenants()
        if not tenant and len(tenants) == 1:
            tenant = tenants[0].key
        text = request.query_params.get("before", "")
        before = int(text) if text.isdecimal() and len(text) <= MOST_LEAF else None
        found = await self._desk.accesses(tenant, before=before, limit=ACCESSES + 1)
        return page(
            request,
            "jobs_accesses.html",
            title="Who read jobs",
            tenant=tenant,
            tenants=tenants,
            accesses=found[:ACCESSES],
            older=found[ACCESSES - 1].id if len(found) > ACCESSES else None,
            asked_of=asked_of,
            acts=ACTS,
        )


def asked_of(access: Access) -> str:
    """What somebody asked for, in a line."""
    facts = {name: value for name, value in access.reading.wanted.facts().items() if name != "what"}
    if not facts and access.reading.start == access.reading.end:
        return "; ".join(f"leaf {each:,}" for each in access.reading.also[:5])
    return "; ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in facts.items()
    )


def _row(job: Job, columns: Sequence[Column]) -> Row:
    original = None
    if job.original is not None:
        original = row_of(Job(-1, job.original), columns)
    return Row(job, standing_of(job), row_of(job, columns), original)


def _caller(request: Request) -> Caller:
    return Caller(actor_of(request).name, Way.CONSOLE)


def _zone(request: Request) -> ZoneInfo:
    return zone(shell_of(request).site().time_zone)
