{{/* The server's container: environment and mounts. */}}

{{/* Where the server reads what it is told to serve, and where it leaves the marker of a load. */}}
{{- define "modelroll.server.targetDir" -}}/run/modelroll/target{{- end }}
{{- define "modelroll.server.stateDir" -}}/run/modelroll/state{{- end }}

{{/* How many processes answer in a pod. */}}
{{- define "modelroll.server.workers" -}}
{{- if eq (toString .Values.workers) "auto" -}}
{{- max 1 (div (include "modelroll.millicores" .Values.resources.requests.cpu | default "0" | int) 1000) -}}
{{- else -}}
{{- int .Values.workers -}}
{{- end -}}
{{- end }}

{{/*
How many pods a Deployment is to have; empty where that is not the chart's to say. What Helm said of it once it cannot leave out: the field would
fall back to 1, until the autoscaler acts. So it says the number that is there, until somebody else has changed it. Takes {root, name, said}.
*/}}
{{- define "modelroll.replicas" -}}
{{- if not (kindIs "invalid" .said) -}}
{{- .said -}}
{{- else -}}
{{- $there := lookup "apps/v1" "Deployment" .root.Release.Namespace .name -}}
{{- range dig "metadata" "managedFields" list $there -}}
{{- if and (eq .manager "helm") (eq .operation "Apply") (hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas") -}}
{{- int64 $there.spec.replicas -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Seconds after which the kubelet has seen that a pod says it is not ready. */}}
{{- define "modelroll.server.unreadyAfter" -}}
{{- with .Values.probes.readiness -}}
{{- add (mul .periodSeconds .failureThreshold) .timeoutSeconds -}}
{{- end -}}
{{- end }}

{{/* Which version, and what may be loaded: of servers, stream workers and batch jobs. */}}
{{- define "modelroll.model.env" -}}
- name: MODEL_NAME
  value: {{ include "modelroll.model" . | quote }}
- name: MODEL_PATH
  value: {{ .Values.model.path | quote }}
{{- with .Values.model.digest }}
- name: MODEL_DIGEST
  value: {{ . | quote }}
{{- end }}
- name: MODEL_ROOT
  value: /models
- name: TARGET_DIR
  value: {{ include "modelroll.server.targetDir" . }}
- name: ARTIFACT_POLICY
  value: {{ .Values.artifactPolicy }}
{{- with .Values.signing.publicKey }}
- name: SIGNING_PUBLIC_KEY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.signing.publicKeySecret }}
{{- if .name }}
- name: SIGNING_PUBLIC_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* How a process that follows targets answers, and what it says of itself: of servers and stream workers. */}}
{{- define "modelroll.answering.env" -}}
- name: STATE_DIR
  value: {{ include "modelroll.server.stateDir" . }}
- name: LOAD
  value: {{ .Values.load }}
- name: KEEP_PREVIOUS
  value: {{ .Values.keepPrevious | quote }}
- name: EXTRA_FIELDS
  value: {{ .Values.extraFields }}
- name: MAX_BATCH_SIZE
  value: {{ .Values.batching.maxSize | quote }}
- name: MAX_BATCH_DELAY_MS
  value: {{ .Values.batching.maxDelayMs | quote }}
{{- with .Values.cache }}
{{- if or .size .url .urlSecret.name $.Values.valkey.enabled }}
- name: CACHE_TTL
  value: {{ int64 .ttlSeconds | quote }}
{{- end }}
{{- with .size }}
- name: CACHE_SIZE
  value: {{ . | quote }}
{{- end }}
{{- with .url }}
- name: CACHE_URL
  value: {{ . | quote }}
{{- end }}
{{- with .urlSecret }}
{{- if .name }}
- name: CACHE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- if $.Values.valkey.enabled }}
{{ include "modelroll.valkey.env" $ }}
{{- end }}
{{- with .keySecret }}
{{- if .name }}
- name: CACHE_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- end }}
- name: DRIFT
  value: {{ .Values.drift.enabled | quote }}
{{- if .Values.drift.enabled }}
- name: DRIFT_WINDOW
  value: {{ .Values.drift.windowSeconds | int64 | quote }}
{{- end }}
- name: HOST
  value: 0.0.0.0
- name: MANAGEMENT_PORT
  value: "8081"
- name: LOG_LEVEL
  value: {{ .Values.log.level }}
- name: LOG_FORMAT
  value: {{ .Values.log.format }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
{{- end }}

{{- define "modelroll.server.env" -}}
{{ include "modelroll.model.env" . }}
{{ include "modelroll.answering.env" . }}
- name: PAGE
  value: {{ .Values.page | quote }}
- name: PORT
  value: "8000"
- name: GRPC_PORT
  value: {{ .Values.grpc.enabled | ternary "50051" "off" | quote }}
{{- if .Values.grpc.enabled }}
- name: GRPC_MAX_RECEIVE_BYTES
  value: {{ .Values.grpc.maxReceiveBytes | int64 | quote }}
- name: GRPC_MAX_SEND_BYTES
  value: {{ .Values.grpc.maxSendBytes | int64 | quote }}
{{- end }}
{{- include "modelroll.access.env" . }}
- name: WORKERS
  value: {{ include "modelroll.server.workers" . | quote }}
- name: DRAIN_DELAY
  value: {{ .Values.drain.delaySeconds | quote }}
- name: UNREADY_AFTER
  value: {{ include "modelroll.server.unreadyAfter" . | quote }}
- name: SHUTDOWN_TIMEOUT
  value: {{ .Values.drain.shutdownTimeoutSeconds | quote }}
{{- with include "modelroll.tracing.env" (dict "root" . "service" (include "modelroll.fullname" .)) }}
{{ . }}
{{ include "modelroll.tracing.sampler" $ }}
{{- end }}
# The last: `modelroll batch --job` takes what stands behind it for what a person added.
- name: LOG_REQUESTS
  value: {{ .Values.log.requests | quote }}
{{- end }}

{{- define "modelroll.server.volumes" -}}
- name: models
  persistentVolumeClaim:
    claimName: {{ include "modelroll.claim" . | quote }}
# One volume, so that the three files always change together.
- name: target
  projected:
    sources:
      - downwardAPI:
          items:
            - path: target
              fieldRef:
                fieldPath: metadata.annotations['modelroll.dev/target']
            - path: move
              fieldRef:
                fieldPath: metadata.annotations['modelroll.dev/move']
      - configMap:
          name: {{ include "modelroll.fullname" . }}-target
          optional: true
          items:
            - key: settled
              path: settled
- name: state
  emptyDir:
    sizeLimit: 1Mi
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmpSizeLimit }}
{{- include "modelroll.access.volumes" . }}
{{- end }}
