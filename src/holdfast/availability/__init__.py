"""Availability: results become verdicts, verdicts become intervals, intervals become SLA figures."""
