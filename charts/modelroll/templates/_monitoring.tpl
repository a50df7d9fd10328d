{{/* Parts of what Prometheus gets. */}}

{{/* How a port is scraped. Takes {scrape, job}. */}}
{{- define "modelroll.scrape" -}}
path: /metrics
{{- with .scrape.interval }}
interval: {{ . }}
{{- end }}
{{- with .scrape.timeout }}
scrapeTimeout: {{ . }}
{{- end }}
relabelings:
  - targetLabel: job
    replacement: {{ .job | quote }}
{{- end }}

{{/* The alerts, as YAML. docs/operations.md has each of them. */}}
{{- define "modelroll.alerts" -}}
{{- $rules := .Values.monitoring.rules -}}
{{- $namespace := printf "namespace=%q" .Release.Namespace -}}
{{- $server := printf "%s,job=%q" $namespace (include "modelroll.fullname" .) -}}
{{- $deployment := printf "%s,deployment=%q" $namespace (include "modelroll.fullname" .) -}}
{{- $pods := .Values.stream.enabled | ternary (printf "%s,job=~%q" $namespace (printf "%s|%s" (include "modelroll.fullname" .) (include "modelroll.stream.fullname" .))) $server -}}
{{- $model := printf "%s,model=%q" $namespace (include "modelroll.model" .) -}}
- alert: ModelrollDown
  # A lazy pod that nobody has asked yet has no version, and is no fault.
  expr: absent({{ eq .Values.load "lazy" | ternary "requests_in_flight" "model_info" }}{ {{- $server -}} })
  for: {{ $rules.down.for }}
  labels:
    severity: critical
  annotations:
    summary: No pod of {{ include "modelroll.fullname" . }} serves a model.
- alert: ModelrollErrors
  expr: |-
    100 * sum by (namespace, job) (rate(prediction_total{ {{- $server }},status=~"5.."}[{{ $rules.window }}]))
      / sum by (namespace, job) (rate(prediction_total{ {{- $server }}}[{{ $rules.window }}]))
      > {{ $rules.errors.percent }}
  for: {{ $rules.errors.for }}
  labels:
    severity: critical
  annotations:
    summary: {{`'{{ $labels.job }} fails {{ printf "%.1f" $value }}% of its requests.'`}}
- alert: ModelrollLatency
  expr: |-
    histogram_quantile(0.99, sum by (namespace, job, le) (rate(prediction_latency_seconds_bucket{ {{- $server }}}[{{ $rules.window }}])))
      > {{ divf $rules.latency.milliseconds 1000 }}
  for: {{ $rules.latency.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.job }} takes {{ humanizeDuration $value }} to answer one request of a hundred.'`}}
- alert: ModelrollTurnsAway
  expr: |-
    100 * sum by (namespace, job) (rate(prediction_total{ {{- $server }},status="429"}[{{ $rules.window }}]))
      / sum by (namespace, job) (rate(prediction_total{ {{- $server }}}[{{ $rules.window }}]))
      > {{ $rules.turnsAway.percent }}
  for: {{ $rules.turnsAway.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.job }} turns {{ printf "%.1f" $value }}% of its requests away: too many are waiting.'`}}
- alert: ModelrollQueue
  expr: max by (namespace, job, pod) (queued_rows{ {{- $server -}} }) > {{ $rules.queue.rows }}
  for: {{ $rules.queue.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ printf "%.0f" $value }} rows wait in {{ $labels.pod }}.'`}}
- alert: ModelrollCacheNotAsked
  expr: max by (namespace, job, pod) (max_over_time(prediction_cache_breaker_open{ {{- $pods -}} }[{{ $rules.window }}])) > 0
  for: {{ $rules.cache.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.pod }} does not ask Redis: it answers too late, or not at all.'`}}
- alert: ModelrollCacheInvalid
  expr: sum by (namespace, job) (rate(prediction_cache_errors_total{ {{- $pods }},reason="invalid"}[{{ $rules.window }}])) > 0
  for: {{ $rules.cache.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.job }} finds values in Redis that it cannot read, or that another key signed.'`}}
- alert: ModelrollReloadFailing
  expr: max by (namespace, job, pod, reason) (model_reload_failing{ {{- $pods -}} }) > 0
  for: {{ $rules.reload.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.pod }} could not load what it is to serve: {{ $labels.reason }}.'`}}
- alert: ModelrollVersionSkew
  expr: |-
    count by (namespace, job) (count by (namespace, job, model, model_version, digest) (model_info{ {{- $pods -}} }))
      > 1
  for: {{ $rules.skew.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'Pods of {{ $labels.job }} answer with {{ printf "%.0f" $value }} different versions.'`}}
{{- if .Values.drift.enabled }}
- alert: ModelrollInputDrift
  expr: avg by (namespace, job, model, model_version, input) (modelroll_input_psi{ {{- $pods -}} }) > {{ $rules.drift.psi }}
  for: {{ $rules.drift.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.job }} is sent other values of {{ $labels.input }} than {{ $labels.model }} {{ $labels.model_version }} was trained on (index {{ printf "%.2f" $value }}, limit `}}{{ $rules.drift.psi }}).'
{{- end }}
- alert: ModelrollCertificateExpires
  expr: |-
    min by (namespace, job, pod) (modelroll_certificate_expiry_timestamp_seconds{ {{- $server -}} }) - time()
      < {{ mul $rules.certificate.days 86400 }}
  for: {{ $rules.certificate.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'The certificate that {{ $labels.pod }} shows is valid for {{ humanizeDuration $value }} more.'`}}
- alert: ModelrollCredentialsFailing
  expr: max by (namespace, job, pod, what) (modelroll_credentials_failing{ {{- $server -}} }) > 0
  for: {{ $rules.credentials.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.pod }} cannot use what its Secret holds: {{ $labels.what }}.'`}}
{{- if .Values.operator.enabled }}
- alert: ModelrollRolloutStalled
  expr: |-
    max by (namespace, modelversion, model, model_version, reason) (
      modelroll_modelversion_condition{ {{- $model }},type=~"Stalled|Conflict"}
    ) > 0
  for: {{ $rules.rollout.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'The ModelVersion {{ $labels.modelversion }} will not be served without somebody''s doing: {{ $labels.reason }}.'`}}
- alert: ModelrollRolloutUnfinished
  expr: |-
    time() - max by (namespace, deployment, model_version) (modelroll_rollout_began_timestamp_seconds{ {{- $deployment -}} })
      > {{ $rules.rollout.unfinishedSeconds }}
  labels:
    severity: warning
  annotations:
    summary: {{`'The rollout of {{ $labels.deployment }} to {{ $labels.model_version }} has gone on for {{ humanizeDuration $value }}.'`}}
- alert: ModelrollDegraded
  expr: |-
    max by (namespace, modelversion, model, model_version, reason) (
      modelroll_modelversion_condition{ {{- $model }},type="Degraded"}
    ) > 0
  for: {{ $rules.rollout.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ $labels.model }} {{ $labels.model_version }} is live, but not every pod serves it: {{ $labels.reason }}.'`}}
- alert: ModelrollNothingEligible
  expr: max by (namespace, deployment) (modelroll_operator_no_eligible_version{ {{- $deployment -}} }) > 0
  for: {{ $rules.rollout.for }}
  labels:
    severity: info
  annotations:
    summary: {{`'{{ $labels.deployment }} serves a version that no ModelVersion asks for any more.'`}}
- alert: ModelrollOperatorDown
  expr: absent(modelroll_operator_leader{ {{- $namespace -}} } == 1)
  for: {{ $rules.operator.for }}
  labels:
    namespace: {{ .Release.Namespace | quote }}
    severity: critical
  annotations:
    summary: No operator works in the namespace {{ .Release.Namespace }}; what is served stays as it is.
- alert: ModelrollOperatorFailing
  expr: |-
    sum by (namespace) (rate(modelroll_operator_turn_failures_total{ {{- $namespace -}} }[{{ $rules.window }}])) > 0
      or
    sum by (namespace) (rate(modelroll_operator_api_errors_total{ {{- $namespace }},status!="409"}[{{ $rules.window }}])) > 0
  for: {{ $rules.operator.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'The operator in {{ $labels.namespace }} fails again and again, or the API server fails it.'`}}
{{- end }}
{{- include "modelroll.stream.alerts" . }}
{{- end }}
