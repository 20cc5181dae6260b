"""Device and software: times, memory, throughput and energy are compared only where these are equal."""

import json

from bench.metrics import METRICS

HARDWARE = ("device", "precision", "processor", "threads")


def depends_on_machine(metric: str) -> bool:
    """Whether a metric is a time, a memory, a throughput or an energy."""
    return METRICS[metric].machine


def conditions(environment: dict) -> dict:
    """What of a record's environment such metrics depend on: device, precision, processor, threads, and all software."""
    hardware, software = (_part(environment, name) for name in ("hardware", "software"))
    known = {name: hardware[name] for name in HARDWARE if hardware.get(name) is not None}
    return {"hardware": known, "software": dict(sorted(software.items()))}


def difference(before: dict, now: dict) -> str:
    """How the conditions differ, in words; empty where they are equal. What is not known equals nothing."""
    told = []
    for part, names in (("hardware", HARDWARE), ("software", sorted(before["software"] | now["software"]))):
        for name in names or [part]:
            old, new = before[part].get(name), now[part].get(name)
            if old is None or old != new:
                told.append(f"{name} {shown(old)} -> {shown(new)}")
    return ", ".join(told)


def _part(environment: dict, name: str) -> dict:
    found = environment.get(name)
    return found if isinstance(found, dict) else {}


def shown(value: object) -> str:
    """A condition in words."""
    if isinstance(value, dict):
        return " ".join(f"{key}={inner}" for key, inner in value.items())
    return "unknown" if value is None else value if isinstance(value, str) else json.dumps(value)
