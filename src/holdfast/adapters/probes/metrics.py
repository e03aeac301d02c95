"""Values of metrics, asked from a Prometheus the way that its check asks."""

from datetime import timedelta

from holdfast.adapters.probes.probes import Probes
from holdfast.availability.metrics import MetricUnknown
from holdfast.estate.checks import PrometheusCheck
from holdfast.estate.model import Metric

TIMEOUT = timedelta(seconds=10)


class PrometheusQueries:
    """MetricQueries over the probes of this process, with their name lookups, trust and secrets."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    async def value(self, metric: Metric) -> float:
        """The one value that the query gives. Raises MetricUnknown."""
        check = PrometheusCheck(
            type="prometheus",
            url=metric.url,
            query=metric.query,
            headers=metric.headers,
            verify_tls=metric.verify_tls,
            ca_file=metric.ca_file,
            timeout=TIMEOUT,
        )
        observation = await self._probes.attempt(check)
        if observation.error is not None:
            raise MetricUnknown(observation.error)
        match observation.facts.get("values"):
            case (float(value),):
                return value
            case ():
                raise MetricUnknown("the query gives no series")
            case tuple(values):
                raise MetricUnknown(f"the query gives {len(values)} series; make it one, with sum(...) or so")
            case _:
                raise MetricUnknown("the query gives no value")
