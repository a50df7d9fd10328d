{{/* Parts that several pods share. */}}

{{/* Reference of an image. Takes {root, image}. */}}
{{- define "modelroll.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* CPU and memory, without those that are null. Takes resources. */}}
{{- define "modelroll.resources" -}}
{{- $resources := dict -}}
{{- range $kind, $amounts := . -}}
{{- range $name, $amount := $amounts -}}
{{- if $amount -}}
{{- $_ := set $resources $kind (merge (dict $name ($amount | toString)) (get $resources $kind | default dict)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}

{{/* A probe. Takes {probe, path, port}. */}}
{{- define "modelroll.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
periodSeconds: {{ .probe.periodSeconds }}
timeoutSeconds: {{ .probe.timeoutSeconds }}
failureThreshold: {{ .probe.failureThreshold }}
{{- end }}

{{/* topologySpreadConstraints, each with a selector. A rollout's new pods are spread among themselves. */}}
{{- define "modelroll.topologySpread" -}}
{{- $labels := include "modelroll.selectorLabels" (dict "root" . "component" "server") | fromYaml -}}
{{- $spread := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- if .labelSelector -}}
{{- $spread = append $spread . -}}
{{- else -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" $labels) "matchLabelKeys" (list "pod-template-hash") -}}
{{- $spread = append $spread (merge $selector .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $spread -}}
{{- end }}
