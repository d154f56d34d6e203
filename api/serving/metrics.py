"""What Prometheus counts: requests, approvals by outcome, the video provider's faults."""

import os
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

REQUESTS = Histogram(
    "http_request_seconds", "Requests, by route template and status", ["route", "status"]
)
APPROVALS = Counter("approvals", "Answers to approvals, by outcome", ["outcome"])
VIDEO_FAULTS = Counter("video_faults", "Faults of the video provider, by kind", ["kind"])
CALLS = Gauge(
    "supabase_calls_in_progress", "Calls that wait for Supabase", multiprocess_mode="livesum"
)


def shown(folder: Path | None) -> bytes:
    """Return all metrics as Prometheus reads them: of the processes that share a folder, or ours.

    What a process that has ended was doing then is forgotten; what it counted is kept.
    """
    if folder is None:
        return generate_latest(REGISTRY)
    for file in folder.glob("gauge_live*.db"):
        process = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except OSError:  # no process has this number, or a stranger's
            multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
