"""What the dashboard shows, from its top to its end."""

from hack.dashboard.panels import DEPLOYMENT, OPERATOR, PODS, SERVER, STREAM, Graph, Query, quantile, rate

_REQUESTS = f"sum(rate(prediction_total{{{SERVER}}}[$__rate_interval]))"
_NOT_ANSWERED = rate("prediction_total", "status", ',status=~"5..|429"')
_FOUND = rate("prediction_cache_hits_total", "tier", selector=PODS)
_ROWS_LOOKED_UP = (
    f"(sum(rate(prediction_cache_hits_total{{{PODS}}}[$__rate_interval]))"
    f" + sum(rate(prediction_cache_misses_total{{{PODS}}}[$__rate_interval])))"
)

NUMBERS = (
    ("Requests/s", "reqps", f"{_REQUESTS}"),
    (
        "Failed",
        "percent",
        f'100 * (sum(rate(prediction_total{{{SERVER},status=~"5.."}}[$__rate_interval])) or vector(0)) / {_REQUESTS}',
    ),
    ("p99", "s", quantile(0.99, "prediction_latency_seconds", "")),
    ("Pods that answer", "none", f"count(model_info{{{SERVER}}})"),
    ("Versions that answer", "none", f"count(count by (model_version, digest) (model_info{{{SERVER}}}))"),
    ("Pods whose load failed", "none", f"count(model_reload_failing{{{PODS}}}) or vector(0)"),
)

ROWS: tuple[tuple[str, tuple[Graph, ...]], ...] = (
    (
        "Requests",
        (
            Graph(
                "Requests by status",
                "Over every protocol, in HTTP's numbers. 429: turned away, as too many were waiting.",
                "reqps",
                (Query(rate("prediction_total", "status"), "{{status}}"),),
                stacked=True,
            ),
            Graph(
                "Failed and turned away",
                "Of all requests. 5xx is the alert ModelrollErrors, 429 is ModelrollTurnsAway.",
                "percent",
                (Query(f"100 * {_NOT_ANSWERED} / ignoring (status) group_left () {_REQUESTS}", "{{status}}"),),
            ),
            Graph(
                "Time to answer",
                "From the request's head to its answer.",
                "s",
                tuple(
                    Query(quantile(share, "prediction_latency_seconds", ""), name)
                    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
                ),
            ),
            Graph(
                "Requests by version",
                "Which version answered.",
                "reqps",
                (Query(rate("prediction_total", "model_version"), "{{model_version}}"),),
                stacked=True,
            ),
            Graph(
                "p99 by version",
                "A version that is slower than the one before shows here while both answer.",
                "s",
                (Query(quantile(0.99, "prediction_latency_seconds", ", model_version"), "{{model_version}}"),),
            ),
            Graph(
                "Numbers answered as null",
                "What the model computed was NaN or infinite.",
                "cps",
                (Query(rate("prediction_non_finite_total", "model_version"), "{{model_version}}"),),
            ),
        ),
    ),
    (
        "Saturation",
        (
            Graph(
                "Rows that wait",
                "Of each pod; a process turns requests away at 4096.",
                "none",
                (Query(f"max by (pod) (queued_rows{{{SERVER}}})", "{{pod}}"),),
            ),
            Graph(
                "Requests in flight",
                "Of each pod.",
                "none",
                (Query(f"max by (pod) (requests_in_flight{{{SERVER}}})", "{{pod}}"),),
            ),
            Graph(
                "Rows computed together",
                "On average. It grows with the load: that is batching at work.",
                "none",
                (
                    Query(
                        f"{rate('prediction_batch_rows_sum', 'model_version')}"
                        f" / {rate('prediction_batch_rows_count', 'model_version')}",
                        "{{model_version}}",
                    ),
                ),
            ),
            Graph(
                "Where the time goes",
                "Seconds a second: what each phase of all requests took.",
                "s",
                (Query(rate("prediction_phase_seconds_sum", "phase"), "{{phase}}"),),
                wide=16,
                stacked=True,
            ),
            Graph(
                "Workers started anew",
                "With more than one worker in a pod; the server's log has why.",
                "cps",
                (Query(rate("worker_restarts_total", "pod, reason"), "{{pod}} {{reason}}"),),
            ),
        ),
    ),
    (
        "Drift of the inputs",
        (
            Graph(
                "Inputs that are spread otherwise than in training",
                "Population stability index of the ten that drift most; the average of the servers, or of the"
                " stream workers. From 0.1 a change, from 0.25 a large one: the alert ModelrollInputDrift.",
                "none",
                (
                    Query(
                        f"topk(10, avg by (job, model_version, input) (modelroll_input_psi{{{PODS}}}))",
                        "{{job}} {{model_version}} {{input}}",
                    ),
                ),
                wide=12,
            ),
            Graph(
                "Rows without a value",
                "Of each input that is looked at, the ten with the most.",
                "percentunit",
                (
                    Query(
                        f"topk(10, avg by (job, model_version, input) (modelroll_input_missing_share{{{PODS}}}))",
                        "{{job}} {{model_version}} {{input}}",
                    ),
                ),
            ),
            Graph(
                "Rows looked at",
                "Of the window, in the pod with fewest: with too few, nothing is said of an input.",
                "none",
                (Query(f"min by (job, model_version) (modelroll_input_rows{{{PODS}}})", "{{job}} {{model_version}}"),),
                wide=4,
            ),
        ),
    ),
    (
        "Cache (where it is on)",
        (
            Graph(
                "Answered without the model",
                "Of the rows looked up: from memory, from Redis, or by joining another request's computation.",
                "percent",
                (Query(f"100 * {_FOUND} / ignoring (tier) group_left () {_ROWS_LOOKED_UP}", "{{tier}}"),),
                stacked=True,
                top=100,
            ),
            Graph(
                "What went wrong with Redis",
                "No caller sees it. invalid: values that another key signed, or that nobody can read.",
                "cps",
                (
                    Query(rate("prediction_cache_errors_total", "reason", selector=PODS), "{{reason}}"),
                    Query(f"sum(rate(prediction_cache_dropped_total{{{PODS}}}[$__rate_interval]))", "not written"),
                ),
            ),
            Graph(
                "Processes that do not ask Redis",
                "The breaker is open: Redis was late three times in ten seconds. The alert ModelrollCacheNotAsked.",
                "none",
                (Query(f"sum by (pod) (prediction_cache_breaker_open{{{PODS}}})", "{{pod}}"),),
            ),
            Graph(
                "Memory of the answers kept",
                "Of each pod.",
                "bytes",
                (Query(f"max by (pod) (prediction_cache_bytes{{{PODS}}})", "{{pod}}"),),
                wide=12,
            ),
            Graph(
                "Rows not looked up",
                "Of requests with more rows than the cache is asked for.",
                "cps",
                (Query(f"sum(rate(prediction_cache_bypassed_total{{{PODS}}}[$__rate_interval]))", "rows"),),
                wide=12,
            ),
        ),
    ),
    (
        "Versions and rollouts",
        (
            Graph(
                "Pods by version",
                "What each pod says that it answers with. Two for long is the alert ModelrollVersionSkew.",
                "none",
                (Query(f"count by (job, model_version) (model_info{{{PODS}}})", "{{job}} {{model_version}}"),),
                stacked=True,
            ),
            Graph(
                "Ready pods by version, as the operator sees them",
                "Of this Deployment.",
                "none",
                (Query(f"sum by (model_version) (modelroll_pods{{{DEPLOYMENT}}})", "{{model_version}}"),),
                stacked=True,
            ),
            Graph(
                "Loads that fail",
                "Pods that could not load what they are to serve, by the reason. The alert ModelrollReloadFailing.",
                "none",
                (Query(f"count by (reason) (model_reload_failing{{{PODS}}})", "{{reason}}"),),
            ),
            Graph(
                "Loads",
                "In the time that is shown for each point: succeeded, or the reason of the refusal.",
                "none",
                (
                    Query(
                        f"sum by (outcome) (increase(model_reload_total{{{SERVER}}}[$__rate_interval]))", "{{outcome}}"
                    ),
                ),
            ),
            Graph(
                "Time to load",
                "To open, load and check a version; the median.",
                "s",
                (Query(quantile(0.5, "model_load_time_seconds", ", model_version"), "{{model_version}}"),),
            ),
            Graph(
                "A rollout has gone on for",
                "The alert ModelrollRolloutUnfinished.",
                "s",
                (
                    Query(
                        f"time() - max by (model_version) (modelroll_rollout_began_timestamp_seconds{{{DEPLOYMENT}}})",
                        "to {{model_version}}",
                    ),
                ),
            ),
            Graph(
                "ModelVersions of the namespace that are not as they should be",
                "Reconciling: under way. Stalled, Conflict, Degraded: docs/modelversion.md has every reason.",
                "none",
                (
                    Query(
                        f"max by (modelversion, type, reason) (modelroll_modelversion_condition{{{OPERATOR}}})",
                        "{{modelversion}}: {{type}} {{reason}}",
                    ),
                ),
                wide=12,
            ),
            Graph(
                "Rollouts that ended, in the namespace",
                "In the time that is shown for each point.",
                "none",
                (
                    Query(
                        f"sum by (model, outcome) (increase(modelroll_rollouts_total{{{OPERATOR}}}[$__rate_interval]))",
                        "{{model}} {{outcome}}",
                    ),
                ),
                wide=12,
            ),
        ),
    ),
    (
        "Who calls (where TLS or tokens are on)",
        (
            Graph(
                "Requests by caller",
                "Whose token they showed.",
                "reqps",
                (Query(rate("modelroll_caller_requests_total", "caller"), "{{caller}}"),),
                wide=12,
                stacked=True,
            ),
            Graph(
                "Refused for want of a token",
                "Missing, of another scheme than Bearer, or unknown: perhaps replaced. no_tokens: there is none.",
                "reqps",
                (Query(rate("modelroll_unauthorized_total", "reason"), "{{reason}}"),),
                wide=12,
                stacked=True,
            ),
            Graph(
                "The certificate is valid for",
                "The one that each pod shows. The alert ModelrollCertificateExpires.",
                "s",
                (
                    Query(
                        f"min by (pod) (modelroll_certificate_expiry_timestamp_seconds{{{SERVER}}}) - time()", "{{pod}}"
                    ),
                ),
                wide=12,
            ),
            Graph(
                "Secrets that changed",
                "In the time of each point. Those that cannot be used are the alert ModelrollCredentialsFailing.",
                "none",
                (
                    Query(
                        "sum by (what, outcome)"
                        f" (increase(modelroll_credentials_reloads_total{{{SERVER}}}[$__rate_interval]))",
                        "{{what}} {{outcome}}",
                    ),
                ),
                wide=12,
            ),
        ),
    ),
    (
        "Events, of stream workers",
        (
            Graph(
                "Events by outcome",
                "Settled: answered, or why there is a dead letter. All but `answered` is ModelrollStreamDeadLetters.",
                "cps",
                (Query(rate("stream_events_total", "outcome", selector=STREAM), "{{outcome}}"),),
                stacked=True,
            ),
            Graph(
                "Events that wait",
                "Nobody was given them yet; given and not settled. Redis and NATS say it of the group, Kafka of each"
                " worker's partitions. ModelrollStreamBehind and ModelrollStreamStalled.",
                "none",
                (
                    Query(f"max by (pod) (stream_lag_events{{{STREAM}}})", "waiting, says {{pod}}"),
                    Query(f"max by (pod) (stream_pending_events{{{STREAM}}})", "pending, says {{pod}}"),
                ),
            ),
            Graph(
                "Time to settle",
                "From when an event was read to when the broker had its answer or its dead letter.",
                "s",
                tuple(
                    Query(quantile(share, "stream_event_seconds", "", STREAM), name)
                    for share, name in ((0.5, "p50"), (0.99, "p99"))
                ),
            ),
            Graph(
                "Workers that read",
                "None is the alert ModelrollStreamDown; 0 is one whose broker is away.",
                "none",
                (Query(f"max by (pod) (stream_up{{{STREAM}}})", "{{pod}}"),),
                wide=12,
                top=1,
            ),
            Graph(
                "Done again",
                "Events that another delivery left unsettled, as of a worker that died; attempts that were made again.",
                "cps",
                (
                    Query(rate("stream_events_redelivered_total", "pod", selector=STREAM), "given again, {{pod}}"),
                    Query(rate("stream_retries_total", "pod", selector=STREAM), "tried again, {{pod}}"),
                ),
                wide=12,
            ),
        ),
    ),
    (
        "Operator of the namespace",
        (
            Graph(
                "Operators that work",
                "One, and never two; the others stand by. None is the alert ModelrollOperatorDown.",
                "none",
                (Query(f"sum by (pod) (modelroll_operator_leader{{{OPERATOR}}})", "{{pod}}"),),
                stacked=True,
            ),
            Graph(
                "What fails",
                "Turns that failed as nobody foresaw, and answers of the API server (0: none came; 409 is harmless).",
                "cps",
                (
                    Query(
                        f"sum(rate(modelroll_operator_turn_failures_total{{{OPERATOR}}}[$__rate_interval]))", "turns"
                    ),
                    Query(rate("modelroll_operator_api_errors_total", "status", selector=OPERATOR), "API {{status}}"),
                ),
            ),
            Graph(
                "Looks at a Deployment",
                "About two a quarter of an hour where nothing happens, one a second while something is under way.",
                "cps",
                (Query(f"sum(rate(modelroll_operator_turns_total{{{OPERATOR}}}[$__rate_interval]))", "turns"),),
            ),
        ),
    ),
)
