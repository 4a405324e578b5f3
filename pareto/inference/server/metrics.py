"""What Prometheus reads. The names' stems are those that vLLM has, where it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pareto.inference.server.judging import Told

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WEIGHTS = tuple(k / 10 for k in range(11))
COEFFICIENTS = tuple(k / 4 for k in range(-8, 13))
PATHS = ("/v1/chat/completions", "/v1/models", "/v1/feedback", "/health", "/metrics", "/openapi.json")


@dataclass(frozen=True)
class Timing:
    """Of one request, in seconds from its coming; ``None`` where it did not get so far."""

    queued: float | None
    first_token: float | None
    total: float
    tokens: int
    """Of the longest answer, so that the time between two is that of one row."""


@dataclass(frozen=True)
class Level:
    """Read anew at each scrape."""

    help: str
    read: Callable[[], float | Mapping[str, float]]
    """A number, or one per value of ``label``."""
    counts: bool = False
    """It only grows."""
    label: str = ""


@dataclass
class Metrics:
    """All of one server, in a registry of its own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        to = self.registry

        def seconds(name: str, help: str) -> Histogram:
            return Histogram(f"pareto:{name}", help, ["arm"], buckets=SECONDS, registry=to)

        self.open = Gauge("pareto:num_requests", "Requests that were accepted and have not ended.", registry=to)
        self.responses = Counter("pareto:http_responses", "Answers of HTTP.", ["path", "status"], registry=to)
        self.success = Counter(
            "pareto:request_success",
            "Requests that ended, and why.",
            ["finished_reason", "arm"],
            registry=to,
        )
        self.first_token = seconds("time_to_first_token_seconds", "From the request to its first token.")
        self.inter_token = seconds("inter_token_latency_seconds", "Between two tokens, the mean of a request.")
        self.latency = seconds("e2e_request_latency_seconds", "From the request to its end.")
        self.queue = seconds("request_queue_time_seconds", "From the request to the model.")
        self.decode = seconds("request_decode_time_seconds", "From the first token to the end.")
        self.batch = Histogram(
            "pareto:iteration_tokens_total",
            "Answers in the batch of a step, merged or per row.",
            ["way"],
            buckets=SIZES,
            registry=to,
        )
        self.weight = Histogram(
            "pareto:weight", "Weights of requests.", ["objective", "arm"], buckets=WEIGHTS, registry=to
        )
        self.coefficient = Histogram(
            "pareto:coefficient", "Coefficients λ of requests.", ["adapter", "arm"], buckets=COEFFICIENTS, registry=to
        )
        self.moved = Counter("pareto:moved", "Requests whose wish broke a priority.", ["arm"], registry=to)
        by_objective = ["objective", "arm"]
        self.reward = Summary("pareto:reward", "Rewards of scored answers.", by_objective, registry=to)
        self.spread = Summary(
            "pareto:reward_spread", "Standard deviation among an ensemble's members.", by_objective, registry=to
        )
        self.flagged = Counter("pareto:flagged", "Scored answers that a person should see.", by_objective, registry=to)
        self.scored = Counter("pareto:scored", "Answers that were scored off the request path.", ["arm"], registry=to)

    def watch(self, levels: Mapping[str, Level]) -> None:
        """Add what is read at each scrape: name → how."""
        self.registry.register(_Levels(levels))

    def render(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)

    def stepped(self, rows: int, way: str) -> None:
        """The engine has computed a step."""
        self.batch.labels(way).observe(rows)

    def begun(
        self, arm: str, weights: Mapping[str, float] | None, coefficients: Mapping[str, float], *, moved: bool
    ) -> None:
        """A request was accepted, at this place."""
        self.open.inc()
        for name, value in (weights or {}).items():
            self.weight.labels(name, arm).observe(value)
        for name, value in coefficients.items():
            self.coefficient.labels(name, arm).observe(value)
        if moved:
            self.moved.labels(arm).inc()

    def judged(self, arm: str, told: Mapping[str, Told]) -> None:
        """An answer was scored off the request path."""
        self.scored.labels(arm).inc()
        for name, of in told.items():
            if of["value"] is not None:
                self.reward.labels(name, arm).observe(of["value"])
            if of["spread"] is not None:
                self.spread.labels(name, arm).observe(of["spread"])
            self.flagged.labels(name, arm).inc(of["flagged"])

    def ended(self, arm: str, finish: str, timing: Timing) -> None:
        """A request has ended, for the reason ``finish``."""
        self.open.dec()
        self.success.labels(finish, arm).inc()
        self.latency.labels(arm).observe(timing.total)
        if timing.queued is not None:
            self.queue.labels(arm).observe(timing.queued)
        if timing.first_token is not None:
            decoding = timing.total - timing.first_token
            self.first_token.labels(arm).observe(timing.first_token)
            self.decode.labels(arm).observe(decoding)
            if timing.tokens > 1:
                self.inter_token.labels(arm).observe(decoding / (timing.tokens - 1))


class Counted:
    """Counts what an application answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and look at what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        known = (p for p in PATHS if scope["path"] == p or scope["path"].startswith(f"{p}/"))
        path = next(known, "other")  # anybody can make up paths, and each would be kept

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.responses.labels(path, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counted)


@dataclass(frozen=True, eq=False)
class _Levels:
    levels: Mapping[str, Level]

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for name, level in self.levels.items():
            kind = CounterMetricFamily if level.counts else GaugeMetricFamily
            family = kind(f"pareto:{name}", level.help, labels=[level.label] if level.label else [])
            read = level.read()
            for label, value in read.items() if isinstance(read, Mapping) else [("", read)]:
                family.add_metric([label] if level.label else [], value)
            yield family
