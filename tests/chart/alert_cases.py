"""What Prometheus saw, and which alert that is: cases of each, of either kind."""

from dataclasses import dataclass

TARGET = 'namespace="models",job="churn",pod="churn-0"'
OTHER_POD = 'namespace="models",job="churn",pod="churn-1"'
OPERATOR = 'namespace="models",job="churn-operator",pod="churn-operator-0"'
MINUTES = 40
EXPIRES = f"modelroll_certificate_expiry_timestamp_seconds{{{TARGET}}}"
UNUSABLE = f'modelroll_credentials_failing{{{TARGET},what="certificate"}}'
CONDITION = f'modelroll_modelversion_condition{{{OPERATOR},modelversion="churn-2",model="churn",model_version="2.0.0",'
TENURE = 'model="churn",model_version="1.2.0",input="tenure"'
INFO = 'model="churn",runtime="onnx",revision="1"'


@dataclass(frozen=True)
class Case:
    """What Prometheus saw for 40 minutes, a sample a minute, and whether that alerts at their end.

    Attributes:
        alert: Its name.
        what: The case, in words.
        series: In promtool's notation.
        says: The summary of the alert that fires; None: none does.
        labels: Of the alert that fires, beside its severity.
        minutes: How long it saw that instead.
    """

    alert: str
    what: str
    series: dict[str, str]
    says: str | None = None
    labels: str = '{"namespace": "models", "job": "churn"}'
    minutes: int = MINUTES


def requests(**by_status: int) -> dict[str, str]:
    """So many requests a minute, by status."""
    series = f'prediction_total{{{TARGET},model="churn",model_version="1.2.0",status='
    return {f'{series}"{status[1:]}"}}': f"0+{count}x{MINUTES}" for status, count in by_status.items()}


def latency(quick: int, slow: int) -> dict[str, str]:
    """So many requests a minute that take less than a second, and between one and two and a half."""
    series = f'prediction_latency_seconds_bucket{{{TARGET},model="churn",model_version="1.2.0",le='
    buckets = {"0.5": quick, "1.0": quick, "2.5": quick + slow, "+Inf": quick + slow}
    return {f'{series}"{bound}"}}': f"0+{count}x{MINUTES}" for bound, count in buckets.items()}


def psi(first: str, second: str) -> dict[str, str]:
    """What two pods say of one input."""
    return {f"modelroll_input_psi{{{pod},{TENURE}}}": said for pod, said in ((TARGET, first), (OTHER_POD, second))}


def info(pod: str, version: str, values: str = f"1x{MINUTES}") -> dict[str, str]:
    """A pod that answers with a version."""
    return {f'model_info{{{pod},{INFO},model_version="{version}",digest="sha256:{version}"}}': values}


def stays(series: str, value: float = 1) -> dict[str, str]:
    """A series that is there all the time."""
    return {series: f"{value}x{MINUTES}"}


def lately(series: str) -> dict[str, str]:
    """A series that is there at the last minute only."""
    return {series: f"_x{MINUTES - 1} 1"}


def increasing(series: str) -> dict[str, str]:
    """A counter that goes on counting."""
    return {series: f"0+6x{MINUTES}"}


def once(series: str) -> dict[str, str]:
    """A counter that counted one thing, half an hour ago."""
    return {series: f"0x9 1x{MINUTES - 10}"}


POD = '{"namespace": "models", "job": "churn", "pod": "churn-0"}'
NAMESPACE = '{"namespace": "models"}'
VERSION = (
    '{"namespace": "models", "modelversion": "churn-2", "model": "churn", "model_version": "2.0.0", "reason": "%s"}'
)
BREAKER = f"prediction_cache_breaker_open{{{TARGET}}}"
INVALID = f'prediction_cache_errors_total{{{TARGET},reason="invalid"}}'
FAILING = f'model_reload_failing{{{TARGET},reason="DigestMismatch"}}'
BEGAN = f'modelroll_rollout_began_timestamp_seconds{{{OPERATOR},deployment="churn",model_version="2.0.0"}}'
UNASKED = f'modelroll_operator_no_eligible_version{{{OPERATOR},deployment="churn"}}'
LEADER = f"modelroll_operator_leader{{{OPERATOR}}}"
TURNS = f"modelroll_operator_turn_failures_total{{{OPERATOR}}}"

WORKER = 'namespace="models",job="churn-stream",pod="churn-stream-0"'
STREAM = '{"namespace": "models", "job": "churn-stream"}'
UP, LAG, PENDING = (f"stream_{name}{{{WORKER}}}" for name in ("up", "lag_events", "pending_events"))
STALLED = "churn-stream settles no event, and there are some."


def events(**by_outcome: int) -> dict[str, str]:
    """So many settled a minute, by outcome."""
    series = f"stream_events_total{{{WORKER},outcome="
    found = {f'{series}"{outcome}"}}': f"0+{count}x{MINUTES}" for outcome, count in by_outcome.items()}
    return {**found, f"stream_event_seconds_count{{{WORKER}}}": f"0+{sum(by_outcome.values())}x{MINUTES}"}


CASES = [
    Case("ModelrollDown", "nothing is scraped", {}, "No pod of churn serves a model."),
    Case(
        "ModelrollDown",
        "another release answers",
        stays(f'model_info{{namespace="models",job="other",pod="other-0",{INFO},model_version="1"}}'),
        "No pod of churn serves a model.",
    ),
    Case("ModelrollDown", "a pod answers", info(TARGET, "1.2.0")),
    Case("ModelrollDown", "it answered until a minute ago", info(TARGET, "1.2.0", f"1x{MINUTES - 1} stale")),
    Case("ModelrollErrors", "two of a hundred", requests(s200=98, s500=1, s504=1), "churn fails 2.0% of its requests."),
    Case("ModelrollErrors", "all of them", requests(s503=10), "churn fails 100.0% of its requests."),
    Case("ModelrollErrors", "half a percent", requests(s200=995, s500=5)),
    Case("ModelrollErrors", "callers' own mistakes", requests(s200=50, s400=40, s429=10)),
    Case("ModelrollErrors", "nobody asks", requests(s200=0, s500=0)),
    Case(
        "ModelrollErrors",
        "once, long ago",
        requests(s200=10) | once(f'prediction_total{{{TARGET},model="churn",model_version="1.2.0",status="500"}}'),
    ),
    Case(
        "ModelrollLatency",
        "one of fifty is slow",
        latency(98, 2),
        "churn takes 1.75s to answer one request of a hundred.",
    ),
    Case("ModelrollLatency", "one of a thousand is slow", latency(999, 1)),
    Case("ModelrollLatency", "nobody asks", latency(0, 0)),
    Case(
        "ModelrollTurnsAway",
        "one of ten",
        requests(s200=90, s429=10),
        "churn turns 10.0% of its requests away: too many are waiting.",
    ),
    Case("ModelrollTurnsAway", "one of a thousand", requests(s200=999, s429=1)),
    Case("ModelrollQueue", "it is long", stays(f"queued_rows{{{TARGET}}}", 2000), "2000 rows wait in churn-0.", POD),
    Case("ModelrollQueue", "it is short", stays(f"queued_rows{{{TARGET}}}", 1000)),
    Case(
        "ModelrollCacheNotAsked",
        "the breaker opens now and then",
        {BREAKER: f"0 0 1 0 0 1 0 1 0 0 0 1 0 {'0 0 1 ' * 9}"},
        "churn-0 does not ask Redis: it answers too late, or not at all.",
        POD,
    ),
    Case(
        "ModelrollCacheNotAsked",
        "of a stream worker",
        stays(BREAKER.replace(TARGET, WORKER)),
        "churn-stream-0 does not ask Redis: it answers too late, or not at all.",
        '{"namespace": "models", "job": "churn-stream", "pod": "churn-stream-0"}',
    ),
    Case("ModelrollCacheNotAsked", "it opened once", {BREAKER: f"0x30 1 0x{MINUTES - 32}"}),
    Case(
        "ModelrollCacheInvalid",
        "values of another key",
        increasing(INVALID),
        "churn finds values in Redis that it cannot read, or that another key signed.",
    ),
    Case("ModelrollCacheInvalid", "one, long ago", once(INVALID)),
    Case(
        "ModelrollCacheInvalid", "Redis is late", increasing(f'prediction_cache_errors_total{{{TARGET},reason="late"}}')
    ),
    Case(
        "ModelrollReloadFailing",
        "a pod cannot load",
        stays(FAILING),
        "churn-0 could not load what it is to serve: DigestMismatch.",
        '{"namespace": "models", "job": "churn", "pod": "churn-0", "reason": "DigestMismatch"}',
    ),
    Case("ModelrollReloadFailing", "it is mended", {FAILING: "1x20 stale"}),
    Case("ModelrollReloadFailing", "it has just begun", lately(FAILING)),
    Case(
        "ModelrollVersionSkew",
        "two pods, two versions",
        info(TARGET, "1.2.0") | info(OTHER_POD, "2.0.0"),
        "Pods of churn answer with 2 different versions.",
    ),
    Case("ModelrollVersionSkew", "two pods, one version", info(TARGET, "1.2.0") | info(OTHER_POD, "1.2.0")),
    Case(
        "ModelrollVersionSkew",
        "a rollout that ends in time",
        info(TARGET, "1.2.0")
        | info(OTHER_POD, "1.2.0", "1x30 stale")
        | info(OTHER_POD, "2.0.0", f"_x30 1x{MINUTES - 31}"),
    ),
    Case(
        "ModelrollInputDrift",
        "in all pods, for an hour",
        psi("0.5x90", "0.3x90"),
        "churn is sent other values of tenure than churn 1.2.0 was trained on (index 0.40, limit 0.25).",
        '{"namespace": "models", "job": "churn", "model": "churn", "model_version": "1.2.0", "input": "tenure"}',
        minutes=90,
    ),
    Case(
        "ModelrollInputDrift",
        "one pod begins anew meanwhile, and has seen too little",
        psi("0.5x90", "0.3x40 stale _x30 0.3x20"),
        "churn is sent other values of tenure than churn 1.2.0 was trained on (index 0.40, limit 0.25).",
        '{"namespace": "models", "job": "churn", "model": "churn", "model_version": "1.2.0", "input": "tenure"}',
        minutes=90,
    ),
    Case(
        "ModelrollInputDrift",
        "of the events alone",
        psi("0.1x90", "0.1x90") | {f"modelroll_input_psi{{{WORKER},{TENURE}}}": "0.4x90"},
        "churn-stream is sent other values of tenure than churn 1.2.0 was trained on (index 0.40, limit 0.25).",
        '{"namespace": "models", "job": "churn-stream", "model": "churn", "model_version": "1.2.0", "input": "tenure"}',
        minutes=90,
    ),
    Case("ModelrollInputDrift", "for less than an hour", psi("0.1x40 0.5x50", "0.1x40 0.5x50"), minutes=90),
    Case("ModelrollInputDrift", "in one pod, a little", psi("0.3x90", "0.1x90"), minutes=90),
    Case(
        "ModelrollInputDrift",
        "nobody has sent enough rows",
        stays(f'modelroll_input_rows{{{TARGET},model="churn",model_version="1.2.0"}}', 40),
        minutes=90,
    ),
    Case(
        "ModelrollCertificateExpires",
        "in three days",
        stays(EXPIRES, 3 * 86400 + 60 * MINUTES),
        "The certificate that churn-0 shows is valid for 3d 0h 0m 0s more.",
        POD,
    ),
    Case("ModelrollCertificateExpires", "in eight days", stays(EXPIRES, 8 * 86400)),
    Case(
        "ModelrollCredentialsFailing",
        "a key of another certificate",
        stays(UNUSABLE),
        "churn-0 cannot use what its Secret holds: certificate.",
        '{"namespace": "models", "job": "churn", "pod": "churn-0", "what": "certificate"}',
    ),
    Case("ModelrollCredentialsFailing", "it can be used", stays(UNUSABLE, 0)),
    Case("ModelrollCredentialsFailing", "it is mended in time", {UNUSABLE: f"1x2 0x{MINUTES - 3}"}),
    Case(
        "ModelrollRolloutStalled",
        "a version was refused",
        stays(f'{CONDITION}type="Stalled",reason="GoldenRowsDiffer"}}'),
        "The ModelVersion churn-2 will not be served without somebody's doing: GoldenRowsDiffer.",
        VERSION % "GoldenRowsDiffer",
    ),
    Case(
        "ModelrollRolloutStalled",
        "two ModelVersions of one version",
        stays(f'{CONDITION}type="Conflict",reason="Conflict"}}'),
        "The ModelVersion churn-2 will not be served without somebody's doing: Conflict.",
        VERSION % "Conflict",
    ),
    Case("ModelrollRolloutStalled", "it goes on", stays(f'{CONDITION}type="Reconciling",reason="Progressing"}}')),
    Case(
        "ModelrollRolloutUnfinished",
        "since long before",
        stays(BEGAN, -3600),
        "The rollout of churn to 2.0.0 has gone on for 1h 40m 0s.",
        '{"namespace": "models", "deployment": "churn", "model_version": "2.0.0"}',
    ),
    Case("ModelrollRolloutUnfinished", "since a while ago", stays(BEGAN, 0)),
    Case(
        "ModelrollDegraded",
        "a pod cannot run",
        stays(f'{CONDITION}type="Degraded",reason="Degraded"}}'),
        "churn 2.0.0 is live, but not every pod serves it: Degraded.",
        VERSION % "Degraded",
    ),
    Case("ModelrollDegraded", "it is stalled", stays(f'{CONDITION}type="Stalled",reason="LoadFailed"}}')),
    Case("ModelrollDegraded", "for a moment", lately(f'{CONDITION}type="Degraded",reason="Degraded"}}')),
    Case(
        "ModelrollNothingEligible",
        "what is served was withdrawn",
        stays(UNASKED),
        "churn serves a version that no ModelVersion asks for any more.",
        '{"namespace": "models", "deployment": "churn"}',
    ),
    Case("ModelrollNothingEligible", "it is asked for", stays(UNASKED, 0)),
    Case(
        "ModelrollOperatorDown",
        "it is gone",
        {},
        "No operator works in the namespace models; what is served stays as it is.",
        NAMESPACE,
    ),
    Case(
        "ModelrollOperatorDown",
        "all stand by",
        stays(LEADER, 0),
        "No operator works in the namespace models; what is served stays as it is.",
        NAMESPACE,
    ),
    Case("ModelrollOperatorDown", "one works", stays(LEADER) | stays(LEADER.replace("operator-0", "operator-1"), 0)),
    Case(
        "ModelrollOperatorFailing",
        "its turns fail",
        increasing(TURNS),
        "The operator in models fails again and again, or the API server fails it.",
        NAMESPACE,
    ),
    Case(
        "ModelrollOperatorFailing",
        "the API server fails",
        increasing(f'modelroll_operator_api_errors_total{{{OPERATOR},status="500"}}'),
        "The operator in models fails again and again, or the API server fails it.",
        NAMESPACE,
    ),
    Case("ModelrollOperatorFailing", "a turn failed once", once(TURNS)),
    Case(
        "ModelrollOperatorFailing",
        "somebody else was quicker",
        increasing(f'modelroll_operator_api_errors_total{{{OPERATOR},status="409"}}'),
    ),
    Case("ModelrollStreamDown", "the broker is away", stays(UP, 0), "No worker of churn-stream reads events.", STREAM),
    Case("ModelrollStreamDown", "nothing is scraped", {}, "No worker of churn-stream reads events.", STREAM),
    Case("ModelrollStreamDown", "one of two reads", stays(UP) | stays(UP.replace("stream-0", "stream-1"), 0)),
    Case("ModelrollStreamStalled", "events wait", events(answered=0) | stays(LAG, 7), STALLED, STREAM),
    Case(
        "ModelrollStreamStalled",
        "what was given is not settled",
        events(answered=0) | stays(LAG, 0) | stays(PENDING, 64),
        STALLED,
        STREAM,
    ),
    Case("ModelrollStreamStalled", "they are answered", events(answered=1) | stays(LAG, 7) | stays(PENDING, 64)),
    Case("ModelrollStreamStalled", "they become dead letters", events(invalid_json=1) | stays(LAG, 7)),
    Case("ModelrollStreamStalled", "there are none", events(answered=0) | stays(LAG, 0) | stays(PENDING, 0)),
    Case("ModelrollStreamBehind", "many wait", stays(LAG, 20000), "20000 events wait for churn-stream.", STREAM),
    Case("ModelrollStreamBehind", "some wait", stays(LAG, 9000)),
    Case("ModelrollStreamBehind", "many have just come", {LAG: f"0x{MINUTES - 1} 20000"}),
    Case(
        "ModelrollStreamDeadLetters",
        "one of ten",
        events(answered=90, invalid_json=6, invalid_field=4),
        "10.0% of the events of churn-stream get no answer.",
        STREAM,
    ),
    Case(
        "ModelrollStreamDeadLetters",
        "none but, of which the first has just come",
        {f"stream_event_seconds_count{{{WORKER}}}": f"0+9x{MINUTES}"}
        | stays(f'stream_events_total{{{WORKER},outcome="answered"}}', 0)
        | lately(f'stream_events_total{{{WORKER},outcome="invalid_json"}}'),
        "100.0% of the events of churn-stream get no answer.",
        STREAM,
    ),
    Case("ModelrollStreamDeadLetters", "one of a thousand", events(answered=999, invalid_json=1)),
    Case("ModelrollStreamDeadLetters", "no events", events(answered=0, invalid_json=0)),
    Case(
        "ModelrollReloadFailing",
        "a stream worker cannot load",
        stays(FAILING.replace("churn", "churn-stream", 1).replace("churn-0", "churn-stream-0")),
        "churn-stream-0 could not load what it is to serve: DigestMismatch.",
        '{"namespace": "models", "job": "churn-stream", "pod": "churn-stream-0", "reason": "DigestMismatch"}',
    ),
]

LAZY_CASES = [
    Case("ModelrollDown", "nobody has asked yet", stays(f"requests_in_flight{{{TARGET}}}", 0)),
    Case("ModelrollDown", "nothing is scraped", {}, "No pod of churn serves a model."),
]
