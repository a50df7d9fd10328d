{{/* Traces: the environment of what sends them. */}}

{{/* OpenTelemetry's own variables; nothing where traces are off. Takes {root, service}, and POD_NAME before it; `job` with its name, where it is one. */}}
{{- define "modelroll.tracing.env" -}}
{{- with .root.Values.tracing }}
{{- if .endpoint -}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: http/protobuf
{{- with .headersSecret }}
{{- if .name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
- name: OTEL_SERVICE_NAME
  value: {{ $.service | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "modelroll.tracing.resource" $ | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The attributes of the resource, of which `resourceAttributes` may change any. */}}
{{- define "modelroll.tracing.resource" -}}
{{- $found := dict "k8s.namespace.name" .root.Release.Namespace "k8s.pod.name" "$(POD_NAME)" -}}
{{- $_ := set $found (empty .job | ternary "k8s.deployment.name" "k8s.job.name") (.job | default .service) -}}
{{- $pairs := list -}}
{{- range $name, $value := merge (dict) .root.Values.tracing.resourceAttributes $found -}}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end }}

{{/* Which requests are traced. */}}
{{- define "modelroll.tracing.sampler" -}}
{{- with .Values.tracing }}
{{- if .endpoint -}}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampleRatio | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "modelroll.contradictions.tracing" -}}
{{- with .Values.tracing -}}
{{- if regexMatch "^https?://[^/]*@" (.endpoint | default "") -}}
{{- fail "tracing.endpoint has a user or a password, which everybody who may read the Deployments would see: put them into tracing.headersSecret, as authorization=Basic%20… with the two in base64." -}}
{{- end -}}
{{- if and (not .endpoint) (or .headersSecret.name .resourceAttributes) -}}
{{- fail "tracing says what is sent with traces, and nothing says where they go: set tracing.endpoint, such as http://otel-collector:4318." -}}
{{- end -}}
{{- end -}}
{{- end }}
