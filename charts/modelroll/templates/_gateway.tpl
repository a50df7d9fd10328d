{{/* The backends of routes of the Gateway API. */}}

{{/* Services that share a route, this release's first. Takes {root, own, port, default}: its own port, and of the others the key and the default. */}}
{{- define "modelroll.gateway.backends" -}}
{{- $gateway := .root.Values.gateway -}}
{{- $backends := list (dict "name" (include "modelroll.fullname" .root) "port" (int .own) "weight" (int64 $gateway.weight)) -}}
{{- range $gateway.backends -}}
{{- $backend := dict "name" .name "port" (get . $.port | default $.default | int) "weight" (int64 .weight) -}}
{{- with .namespace -}}
{{- $_ := set $backend "namespace" . -}}
{{- end -}}
{{- $backends = append $backends $backend -}}
{{- end -}}
{{- toYaml $backends -}}
{{- end }}
