{{/* Who may reach whom, as parts of NetworkPolicies. */}}

{{/* Ports, over one protocol or several. Takes {ports, protocols}. */}}
{{- define "modelroll.network.ports" -}}
{{- $ports := list -}}
{{- range $port := .ports -}}
{{- range $.protocols -}}
{{- $ports = append $ports (dict "protocol" . "port" (int $port)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $ports -}}
{{- end }}

{{/* A rule of egress. Takes {to, ports, protocols}; nobody in `to` is anybody. */}}
{{- define "modelroll.network.rule" -}}
{{- with .to -}}
to:
  {{- toYaml . | nindent 2 }}
{{ end -}}
ports:
  {{- include "modelroll.network.ports" . | nindent 2 }}
{{- end }}

{{/* A rule of egress for those who ask for names. */}}
{{- define "modelroll.network.resolvers" -}}
{{- include "modelroll.network.rule" (merge (dict "protocols" (list "UDP" "TCP")) .Values.networkPolicy.dns) -}}
{{- end }}

{{/* Port of the Redis in cache.url, where it names one. */}}
{{- define "modelroll.network.cachePort" -}}
{{- regexReplaceAll "^rediss?://([^@/]*@)?([^/?]*).*$" .Values.cache.url "${2}" | regexFind ":[0-9]+$" | trimPrefix ":" | default "6379" -}}
{{- end }}

{{/* What servers may reach, as a list of rules: nothing unless some value names it. */}}
{{- define "modelroll.network.serverEgress" -}}
{{- $network := .Values.networkPolicy -}}
{{- $rules := $network.egress -}}
{{- $tcp := list "TCP" -}}
{{- if .Values.valkey.enabled -}}
{{- $valkey := dict "podSelector" (dict "matchLabels" (include "modelroll.selectorLabels" (dict "root" . "component" "valkey") | fromYaml)) -}}
{{- $rules = append $rules (include "modelroll.network.rule" (dict "to" (list $valkey) "ports" (list 6379) "protocols" $tcp) | fromYaml) -}}
{{- else if or .Values.cache.urlSecret.name (hasPrefix "redis" .Values.cache.url) -}}
{{- $ports := $network.cache.ports | default (list (include "modelroll.network.cachePort" .)) -}}
{{- $rules = append $rules (include "modelroll.network.rule" (dict "to" $network.cache.to "ports" $ports "protocols" $tcp) | fromYaml) -}}
{{- end -}}
{{- if $rules -}}
{{- $rules = append $rules (include "modelroll.network.resolvers" . | fromYaml) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}

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
