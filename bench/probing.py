"""CPU of one HTTP check alone: a fresh connection to a server in another process, and the judgement."""

from collections.abc import Sequence

import uvloop

from bench.estates import CONDITIONS
from bench.probe_cpu import measure as measure_probe
from bench.probe_cpu import service
from bench.subjects import Options
from bench.table import Measurement, at_most
from holdfast.estate.checks import HttpCheck


def measure(options: Options) -> Sequence[Measurement]:
    checks = 1_000 if options.quick else 5_000
    with service() as (plain, secure, ca_file):
        http, https = (
            HttpCheck(url=url, ca_file=ca_file, conditions=CONDITIONS)
            for url in (f"http://127.0.0.1:{plain}/", f"https://127.0.0.1:{secure}/")
        )
        over_http = [uvloop.run(measure_probe(http, checks))[0] / 1000 for _ in range(options.runs)]
        over_https = [uvloop.run(measure_probe(https, checks))[0] / 1000 for _ in range(options.runs)]
    return [
        Measurement("probe alone, http: CPU per check", "ms", over_http, at_most(0.6)),
        Measurement(
            "probe alone, https: CPU per check", "ms", over_https, note="full handshake, chain verified"
        ),
    ]
