"""OpenSLO v1 documents as agreements, and where an indicator asks Prometheus, as the checks behind them.

What an SLO is about is found in this order: the components that it names itself (`holdfast/components`, or
an indicator of the type Holdfast) in the estate that is given; a query to Prometheus, which becomes a
component of its own. A service becomes a cluster. An SLO of which neither is known cannot be measured, and is
left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from holdfast.estate.model import Estate
from holdfast.interchange.documents import read_documents
from holdfast.interchange.draft import REGION, Imported, problem_of, settled
from holdfast.interchange.errors import NothingError
from holdfast.interchange.lines import shown
from holdfast.interchange.naming import clean_name, slug, unique
from holdfast.interchange.openslo_annotations import annotated_terms, promised_components
from holdfast.interchange.openslo_metrics import prometheus_check
from holdfast.interchange.openslo_windows import window_terms
from holdfast.interchange.report import Report
from holdfast.kernel.durations import format_duration

VERSIONS = ("openslo/v1", "openslo.com/v1")
CUSTOMER = "customer"
_METHODS = {
    "Occurrences": "requests are not counted; an agreement counts time",
    "RatioTimeslices": "",
    "Timeslices": "an agreement counts time as it was, not whole slices",
}
_KINDS = {
    "AlertPolicy": "alerts are routed in Holdfast, by burn rate, not per agreement",
    "AlertCondition": "alerts follow four pairs of windows, scaled to the agreement's",
    "AlertNotificationTarget": "alerts are routed in Holdfast",
}
_SPEC = frozenset(
    ("description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod", "objectives")
)
_OBJECTIVE = frozenset(
    ("displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow")
)


@dataclass(slots=True)
class _Documents:
    """The objects of all files by kind and name, each with the place where it stood."""

    objects: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    def of_kind(self, kind: str) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
        return [(n, path, each) for (k, n), (path, each) in self.objects.items() if k == kind]

    def spec(self, kind: str, name: object) -> tuple[str, Mapping[str, Any]] | None:
        found = self.objects.get((kind, str(name)))
        return None if found is None else (f"{found[0]}.spec", _mapping(found[1].get("spec")))


def import_openslo(
    files: Iterable[tuple[str, bytes]], at: datetime, base: Estate | None, prometheus: str | None
) -> Imported:
    """The estate `base`, or a new one, with the agreements of `files` (names and bytes).

    `prometheus` is the address for data sources that do not give theirs. Raises SourceError when a file
    cannot be read and NothingError when no SLO could be taken over.
    """
    report = Report()
    documents = _Documents()
    names = []
    for name, content in files:
        names.append(name)
        _read(name, content, documents, report)
    for kind, why in _KINDS.items():
        for name, path, _ in documents.of_kind(kind):
            report.left_out(path, f"{kind} {shown(name)}", why)
    importer = _Importer(documents, report, base, prometheus)
    for name, path, document in documents.of_kind("SLO"):
        importer.slo(name, path, document)
    importer.unused()
    source = f"OpenSLO ({', '.join(names)})"
    if not importer.agreements:
        hint = (
            "give the estate that they are about with --base, or the address of Prometheus with --prometheus"
        )
        raise NothingError(f"no SLO in {source} could become an agreement", remarks=report.remarks, hint=hint)
    return settled(importer.document(), source, at, report, {})


def _read(name: str, content: bytes, documents: _Documents, report: Report) -> None:
    found, faults = read_documents(content, name)
    for fault in faults:
        report.left_out(name, "a part that cannot be read", fault)
    for index, document in enumerate(found):
        path = f"{name}[{index}]"
        if not isinstance(document, Mapping):
            report.left_out(path, "a document", "not a mapping of keys to values")
            continue
        version, kind = document.get("apiVersion"), str(document.get("kind"))
        identity = str(_mapping(document.get("metadata")).get("name", ""))
        if version not in VERSIONS:
            report.left_out(
                path, f"{shown(kind)} {shown(identity)}", f"its version {shown(version)} is not v1"
            )
        elif kind not in ("Service", "SLO", "SLI", "DataSource", *_KINDS):
            report.left_out(path, shown(kind), "not a kind of OpenSLO v1")
        elif (kind, identity) in documents.objects:
            report.left_out(path, f"{kind} {shown(identity)}", "given twice; the first one counts")
        else:
            documents.objects[kind, identity] = (path, document)


class _Importer:
    def __init__(
        self, documents: _Documents, report: Report, base: Estate | None, prometheus: str | None
    ) -> None:
        self.report = report
        self._documents = documents
        self._base = base
        self._prometheus = prometheus
        self._raw: dict[str, Any] = base.model_dump(exclude_unset=True) if base else {"version": 1}
        self._raw.setdefault("regions", {REGION: {"name": "Primary region"}})
        self._clusters: dict[str, Any] = self._raw.setdefault("clusters", {})
        self._customers: dict[str, Any] = dict(self._raw.pop("customers", {}))
        self.agreements: dict[str, Any] = {}
        self._taken: dict[str, Any] = dict(self._raw.pop("agreements", {}))
        self._by_service: dict[str, str] = {}
        self._used: set[tuple[str, str]] = set()

    def document(self) -> dict[str, Any]:
        return {**self._raw, "customers": self._customers, "agreements": {**self._taken, **self.agreements}}

    def unused(self) -> None:
        """Say what of the indicators, services and data sources nothing referred to."""
        for kind in ("Service", "SLI", "DataSource"):
            for name, path, document in self._documents.of_kind(kind):
                if (kind, name) not in self._used:
                    self.report.left_out(path, f"{kind} {shown(name)}", "no SLO that was imported needs it")
                elif kind == "Service" and _mapping(document.get("spec")).get("description"):
                    self.report.left_out(f"{path}.spec.description", "the description", "a cluster has none")

    def slo(self, name: str, path: str, document: Mapping[str, Any]) -> None:
        """One agreement for each objective that can be measured."""
        spec, metadata = _mapping(document.get("spec")), _mapping(document.get("metadata"))
        objectives = spec.get("objectives")
        if not isinstance(objectives, list) or not objectives:
            self.report.left_out(path, f"SLO {shown(name)}", "it has no objectives")
            return
        terms = window_terms(f"{path}.spec.timeWindow", spec.get("timeWindow"), self.report)
        if terms is None:
            return
        self._remark_spec(path, spec, metadata)
        title = clean_name(metadata.get("displayName"), clean_name(name, "SLO"))
        annotations = _mapping(metadata.get("annotations"))
        for index, objective in enumerate(objectives):
            where = f"{path}.spec.objectives[{index}]"
            promised = self._promised(where, _mapping(objective))
            if promised is None:
                continue
            part = clean_name(_mapping(objective).get("displayName"), "") if len(objectives) > 1 else ""
            label = f"{title}: {part}"[:200] if part else title
            key = unique(
                slug(f"{name}-{part}" if part else name, "slo"),
                lambda key: key in self.agreements or key in self._taken,
            )
            components = self._components(where, label, spec, _mapping(objective), annotations, promised)
            if components is None:
                continue
            self.agreements[key] = {
                "customer": self._customer(annotations),
                "name": label,
                "components": components,
                "objective": promised,
                "window": terms.window if isinstance(terms.window, str) else format_duration(terms.window),
                "time_zone": terms.time_zone,
                **annotated_terms(f"{path}.metadata.annotations", annotations, promised, self.report),
            }

    def _remark_spec(self, path: str, spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        method = str(spec.get("budgetingMethod"))
        why = _METHODS.get(method, "not a method of OpenSLO v1")
        if why:
            self.report.changed(f"{path}.spec.budgetingMethod", shown(method), why, "time is counted")
        if spec.get("description"):
            self.report.left_out(f"{path}.spec.description", "the description", "an agreement has none")
        if spec.get("alertPolicies"):
            self.report.left_out(f"{path}.spec.alertPolicies", "alert policies", _KINDS["AlertPolicy"])
        if metadata.get("labels"):
            self.report.left_out(f"{path}.metadata.labels", "labels", "an agreement has none")
        for key in _mapping(metadata.get("annotations")):
            if not str(key).startswith("holdfast/"):
                self.report.left_out(f"{path}.metadata.annotations", shown(key), "an agreement has none")
        for key in spec:
            if key not in _SPEC and key != "alertPolicies":
                self.report.left_out(f"{path}.spec.{key}", shown(key), "not a key of OpenSLO v1")

    def _promised(self, path: str, objective: Mapping[str, Any]) -> Decimal | None:
        """The objective in percent."""
        for key, factor in (("targetPercent", 1), ("target", 100)):
            try:
                value = Decimal(str(objective[key])) * factor
            except (KeyError, InvalidOperation):
                continue
            if value.is_finite() and 0 <= value < 100 and len(str(value)) < 30:
                if objective.get("compositeWeight") not in (None, 1):
                    why = "agreements have no weights"
                    self.report.left_out(f"{path}.compositeWeight", "the weight", why)
                for left in objective.keys() - _OBJECTIVE - {"indicator", "indicatorRef", "compositeWeight"}:
                    self.report.left_out(f"{path}.{left}", shown(left), "not a key of OpenSLO v1")
                return value.normalize()
        self.report.left_out(path, "the objective", "it has neither a target below 1 nor one below 100 %")
        return None

    def _components(
        self,
        path: str,
        label: str,
        spec: Mapping[str, Any],
        objective: Mapping[str, Any],
        annotations: Mapping[str, Any],
        promised: Decimal,
    ) -> list[str] | None:
        """What the agreement is about; None, with a remark, when that cannot be known."""
        where, indicator = self._indicator(path, spec, objective)
        named = promised_components(annotations, indicator)
        if named:
            missing = [each for each in named if not self._declared(each)]
            if not missing:
                self._used.add(("Service", str(spec.get("service"))))
                return named
            why = f"it is about {shown(', '.join(missing))}, of which the estate has nothing"
            self.report.left_out(path, shown(label), why, "left out; give the estate with --base")
            return None
        if indicator is None:
            return None
        check = prometheus_check(
            where, indicator, objective, promised, self._source, self._prometheus, self.report
        )
        if check is None:
            return None
        component = {"name": clean_name(label, "SLO"), "checks": {"prometheus": check}}
        if problem := problem_of(component):
            self.report.left_out(path, shown(label), f"it would not be a valid check: {problem}")
            return None
        return [self._place(str(spec.get("service", "")), component)]

    def _indicator(
        self, path: str, spec: Mapping[str, Any], objective: Mapping[str, Any]
    ) -> tuple[str, Mapping[str, Any] | None]:
        for where, holder in ((path, objective), (path.rpartition(".objectives")[0], spec)):
            inline = holder.get("indicator")
            if isinstance(inline, Mapping):
                return f"{where}.indicator.spec", _mapping(inline.get("spec"))
            if holder.get("indicatorRef") is not None:
                found = self._documents.spec("SLI", holder["indicatorRef"])
                if found is None:
                    what = shown(holder["indicatorRef"])
                    self.report.left_out(f"{where}.indicatorRef", what, "there is no such SLI in the files")
                    return where, None
                self._used.add(("SLI", str(holder["indicatorRef"])))
                return found
        self.report.left_out(path, "the objective", "it has no indicator")
        return path, None

    def _source(self, name: str) -> Mapping[str, Any] | None:
        found = self._documents.spec("DataSource", name)
        if found is None:
            return None
        self._used.add(("DataSource", name))
        return found[1]

    def _declared(self, pattern: str) -> bool:
        cluster, _, component = pattern.partition("/")
        return any(
            cluster in ("*", key) and (component == "*" or component in _mapping(each).get("components", {}))
            for key, each in self._clusters.items()
        )

    def _place(self, service: str, component: dict[str, Any]) -> str:
        if service not in self._by_service:
            found = self._documents.objects.get(("Service", service))
            metadata = _mapping(found[1].get("metadata")) if found else {}
            key = unique(slug(service, "service"), self._clusters.__contains__)
            name = clean_name(metadata.get("displayName"), clean_name(service, "Service"))
            self._clusters[key] = {"name": name, "region": next(iter(self._raw["regions"])), "components": {}}
            self._by_service[service] = key
            self._used.add(("Service", service))
        cluster = self._by_service[service]
        components = self._clusters[cluster]["components"]
        key = unique(slug(component["name"], "slo"), components.__contains__)
        components[key] = component
        return f"{cluster}/{key}"

    def _customer(self, annotations: Mapping[str, Any]) -> str:
        given = annotations.get("holdfast/customer")
        key = slug(given, CUSTOMER) if isinstance(given, str) else CUSTOMER
        if key not in self._customers:
            self._customers[key] = {"name": clean_name(given, "Customer")}
            if given is None:
                why = "OpenSLO does not say whom an objective is promised to"
                self.report.note("customers", "one customer for all agreements", why)
        return key


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
