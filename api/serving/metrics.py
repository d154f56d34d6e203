"""What Prometheus counts: requests, approvals by outcome, the video provider's faults."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Histogram(
    "http_request_seconds", "Requests, by route template and status", ["route", "status"]
)
APPROVALS = Counter("approvals", "Answers to approvals, by outcome", ["outcome"])
VIDEO_FAULTS = Counter("video_faults", "Faults of the video provider, by kind", ["kind"])
CALLS = Gauge(
    "supabase_calls_in_progress", "Calls that wait for Supabase", multiprocess_mode="livesum"
)
