{{/* The stream workers: names, environment, volumes, contradictions of their values, and alerts. */}}

{{- define "modelroll.stream.fullname" -}}
{{- printf "%s-stream" (include "modelroll.fullname" .) -}}
{{- end }}

{{/* Where the Secret with the broker's certificates is mounted. */}}
{{- define "modelroll.stream.tlsDir" -}}/run/modelroll/broker{{- end }}

{{- define "modelroll.stream.env" -}}
{{ include "modelroll.model.env" . }}
{{ include "modelroll.answering.env" . }}
- name: SHUTDOWN_TIMEOUT
  value: {{ .Values.stream.shutdownTimeoutSeconds | quote }}
{{- with .Values.stream }}
- name: STREAM_URL
  {{- if .url }}
  value: {{ .url | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ .urlSecret.name | quote }}
      key: {{ .urlSecret.key | quote }}
  {{- end }}
{{- with .credentialsSecret }}
{{- if .name }}
- name: STREAM_USER
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .userKey | quote }}
      optional: true
- name: STREAM_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .passwordKey | quote }}
{{- end }}
{{- end }}
{{- with .sasl }}
- name: STREAM_SASL
  value: {{ . }}
{{- end }}
{{- if .tlsSecret.name }}
{{- $directory := include "modelroll.stream.tlsDir" $ }}
- name: STREAM_CA
  value: {{ $directory }}/{{ .tlsSecret.caKey }}
{{- if .tlsSecret.clientCertificate }}
- name: STREAM_CERTIFICATE
  value: {{ $directory }}/tls.crt
- name: STREAM_KEY
  value: {{ $directory }}/tls.key
{{- end }}
{{- end }}
- name: STREAM_INPUT
  value: {{ .input | quote }}
{{- with .output }}
- name: STREAM_OUTPUT
  value: {{ . | quote }}
{{- end }}
{{- with .dead }}
- name: STREAM_DEAD
  value: {{ . | quote }}
{{- end }}
- name: STREAM_GROUP
  value: {{ .group | default (include "modelroll.fullname" $) | quote }}
- name: STREAM_BATCH
  value: {{ .batch | quote }}
- name: STREAM_CLAIM_AFTER
  value: {{ .claimAfterSeconds | quote }}
- name: STREAM_MOST_DELIVERIES
  value: {{ .mostDeliveries | quote }}
- name: STREAM_MOST_BYTES
  value: {{ .mostBytes | quote }}
{{- end }}
{{- end }}

{{/* As of the servers; but the operator moves none of these pods, which follow what the servers' Deployment has settled on. */}}
{{- define "modelroll.stream.volumes" -}}
{{- $volumes := list -}}
{{- range include "modelroll.server.volumes" . | fromYamlArray -}}
{{- if eq .name "target" -}}
{{- $settled := .projected.sources | last -}}
{{- $volumes = append $volumes (dict "name" .name "configMap" $settled.configMap) -}}
{{- else if has .name (list "models" "state" "tmp") -}}
{{- $volumes = append $volumes . -}}
{{- end -}}
{{- end -}}
{{- with .Values.stream.tlsSecret -}}
{{- if .name -}}
{{- $items := list (dict "key" .caKey "path" .caKey) -}}
{{- if .clientCertificate -}}
{{- $items = concat $items (list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key")) -}}
{{- end -}}
{{- $volumes = append $volumes (dict "name" "broker" "secret" (dict "secretName" .name "defaultMode" 288 "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $volumes -}}
{{- end }}

{{- define "modelroll.contradictions.stream" -}}
{{- with .Values.stream -}}
{{- if .enabled -}}
{{- if and .url .urlSecret.name -}}
{{- fail "stream.url and stream.urlSecret.name both say where the broker is: set the one or the other." -}}
{{- end -}}
{{- if not (or .url .urlSecret.name) -}}
{{- fail "stream.enabled is true, and nothing says where the broker is: set stream.url, such as redis://redis:6379/0, or stream.urlSecret.name." -}}
{{- end -}}
{{- if regexMatch "(?i)@|[?&]password=" .url -}}
{{- fail "stream.url has a user or a password, which everybody who may read the Deployment would see: put the address into stream.urlSecret, or the two into stream.credentialsSecret." -}}
{{- end -}}
{{- if not .input -}}
{{- fail "stream.enabled is true, and nothing says where events are read from: set stream.input to the stream, topic or subject." -}}
{{- end -}}
{{- if has .input (list .output .dead) -}}
{{- fail (printf "stream.input and stream.output or stream.dead are both %s: answers would be read as events." .input) -}}
{{- end -}}
{{- $output := .output | default (printf "%s.predictions" .input) -}}
{{- if eq $output (.dead | default (printf "%s.dead" .input)) -}}
{{- fail (printf "stream.output and stream.dead are both %s: dead letters could not be told from answers." $output) -}}
{{- end -}}
{{- if and .sasl (not .credentialsSecret.name) -}}
{{- fail "stream.sasl is how Kafka is shown a user and a password: set stream.credentialsSecret.name, or no sasl." -}}
{{- end -}}
{{- if .url -}}
{{- $isKafka := hasPrefix "kafka" .url -}}
{{- range $at, $host := splitList "," .url -}}
{{- if or (and $at $isKafka (contains "://" $host)) (not (regexMatch "^([a-z+]+://)?(\\[[0-9A-Fa-f:.]+\\]|[^\\[\\]:/?#\\s]+)(:[0-9]{1,5})?([/?#]\\S*)?$" $host)) -}}
{{- fail (printf "stream.url has %q where a host is to stand, with or without a port: give one such as redis://redis:6379/0 or kafka://one:9092,two:9092." $host) -}}
{{- end -}}
{{- end -}}
{{- $kafka := hasPrefix "kafka" .url -}}
{{- if and .sasl (not $kafka) -}}
{{- fail "stream.sasl is Kafka's, and stream.url is of another broker: set no sasl." -}}
{{- end -}}
{{- if and $kafka .credentialsSecret.name (not .sasl) -}}
{{- fail "stream.credentialsSecret.name is set, and not how Kafka is shown what is in it: set stream.sasl." -}}
{{- end -}}
{{- if and .tlsSecret.name (not (regexMatch "^(rediss|kafka\\+ssl|tls)://" .url)) -}}
{{- fail (printf "stream.tlsSecret.name is set, and stream.url is one without TLS (%s): rediss://, kafka+ssl:// and tls:// are those with." .url) -}}
{{- end -}}
{{- end -}}
{{- if and .tlsSecret.clientCertificate (not .tlsSecret.name) -}}
{{- fail "stream.tlsSecret.clientCertificate is true, and stream.tlsSecret.name does not say where the certificate is." -}}
{{- end -}}
{{- $needed := add .shutdownTimeoutSeconds 15 -}}
{{- if lt (int64 .terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "stream.terminationGracePeriodSeconds (%v) is less than stream.shutdownTimeoutSeconds + 15 for a broker that does not answer to be let go of (%v): the kubelet would kill workers that still settle." .terminationGracePeriodSeconds $needed) -}}
{{- end -}}
{{- range $key, $_ := .podAnnotations -}}
{{- if hasPrefix "modelroll.dev/" $key -}}
{{- fail (printf "stream.podAnnotations has %s: annotations of modelroll.dev on pods are the operator's." $key) -}}
{{- end -}}
{{- end -}}
{{- range $extra := $.Values.env -}}
{{- if hasPrefix "STREAM_" $extra.name -}}
{{- fail (printf "env has %s, which the chart sets from stream: set that one." $extra.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
Those of the alerts that are about workers. What is settled is counted by stream_event_seconds_count, which is there from the start:
the first dead letter of a kind makes its series of stream_events_total, of which no rate could be taken.
*/}}
{{- define "modelroll.stream.alerts" -}}
{{- if .Values.stream.enabled }}
{{- $rules := .Values.monitoring.rules -}}
{{- $name := include "modelroll.stream.fullname" . -}}
{{- $worker := printf "namespace=%q,job=%q" .Release.Namespace $name }}
- alert: ModelrollStreamDown
  expr: absent(stream_up{ {{- $worker -}} } == 1)
  for: {{ $rules.down.for }}
  labels:
    namespace: {{ .Release.Namespace | quote }}
    job: {{ $name | quote }}
    severity: critical
  annotations:
    summary: No worker of {{ $name }} reads events.
- alert: ModelrollStreamStalled
  expr: |-
    (
      max by (namespace, job) (stream_lag_events{ {{- $worker -}} }) > 0
        or
      max by (namespace, job) (stream_pending_events{ {{- $worker -}} }) > 0
    )
      unless on (namespace, job)
    sum by (namespace, job) (rate(stream_event_seconds_count{ {{- $worker -}} }[{{ $rules.window }}])) > 0
  for: {{ $rules.stream.for }}
  labels:
    severity: critical
  annotations:
    summary: {{`'{{ $labels.job }} settles no event, and there are some.'`}}
- alert: ModelrollStreamBehind
  expr: max by (namespace, job) (stream_lag_events{ {{- $worker -}} }) > {{ int64 $rules.stream.lagEvents }}
  for: {{ $rules.stream.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ printf "%.0f" $value }} events wait for {{ $labels.job }}.'`}}
- alert: ModelrollStreamDeadLetters
  expr: |-
    100 * (
      1 - sum by (namespace, job) (rate(stream_events_total{ {{- $worker }},outcome="answered"}[{{ $rules.window }}]))
        / sum by (namespace, job) (rate(stream_event_seconds_count{ {{- $worker -}} }[{{ $rules.window }}]))
    )
      > {{ $rules.stream.deadLettersPercent }}
  for: {{ $rules.stream.for }}
  labels:
    severity: warning
  annotations:
    summary: {{`'{{ printf "%.1f" $value }}% of the events of {{ $labels.job }} get no answer.'`}}
{{- end }}
{{- end }}
