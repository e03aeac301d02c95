"""What the API tells of reports."""

from datetime import date

from pydantic import BaseModel, Field

from holdfast.ledger.reports.reporting import By, Per, Report, Row, Standing


class ReportRow(BaseModel):
    """One member in one time. Quantities that nobody reported are 0 here: sums do not tell the two apart."""

    start: date | None = Field(description="the first day of its time; null for the whole stretch")
    tenant: str = Field(description="whose it is; empty where the row is about all of them")
    member: str = Field(description="the kind, device, user, cost centre or format; empty: none was told")
    jobs: int
    failed: int
    sheets: int
    mono_impressions: int
    colour_impressions: int
    scan_pages: int
    fax_pages: int
    amounts: dict[str, int] = Field(
        description="by currency (ISO 4217), in its minor units", examples=[{"EUR": 1250}]
    )

    @classmethod
    def of(cls, row: Row) -> "ReportRow":
        sums = {name: value for name, value in row.sums._asdict().items() if name != "amount"}
        return cls.model_validate(
            {
                "start": row.start,
                "tenant": row.tenant,
                "member": row.member,
                **sums,
                "amounts": dict(row.amounts),
            }
        )


class LogStanding(BaseModel):
    """How far a tenant's entries are summed up."""

    tenant: str
    time_zone: str = Field(description="its days are days of this zone; empty: nothing is summed up yet")
    folded: int = Field(description="so many entries of its log are in the sums")
    size: int = Field(description="so many it has")
    void_corrections: int = Field(description="corrections that name nothing that could be corrected")

    @classmethod
    def of(cls, standing: Standing) -> "LogStanding":
        return cls(
            tenant=standing.tenant,
            time_zone=standing.time_zone,
            folded=standing.folded,
            size=standing.size,
            void_corrections=standing.void,
        )


class ReportTold(BaseModel):
    """Sums over the days [since, until), in order of time, and within it the greatest member first."""

    since: date
    until: date
    by: By | None
    per: Per | None
    rows: list[ReportRow]
    total: ReportRow = Field(description="of all members, also of those that are not told")
    members: int = Field(description="how many there are")
    logs: list[LogStanding]

    @classmethod
    def of(cls, report: Report) -> "ReportTold":
        asked = report.asked
        return cls(
            since=asked.since,
            until=asked.until,
            by=asked.by,
            per=asked.per,
            rows=[ReportRow.of(row) for row in report.rows],
            total=ReportRow.of(report.total),
            members=report.members,
            logs=[LogStanding.of(each) for each in report.standing],
        )
