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

{{/* Peers of all policies, by the value that names them. */}}
{{- define "modelroll.network.peers" -}}
{{- $found := dict "clients" .Values.networkPolicy.clients "management" .Values.networkPolicy.management -}}
{{- range list "cache" "broker" "tracing" "dns" "apiServer" -}}
{{- $_ := set $found (printf "%s.to" .) (get $.Values.networkPolicy . | dig "to" list) -}}
{{- end -}}
{{- range $index, $rule := .Values.networkPolicy.egress -}}
{{- $_ := set $found (printf "egress[%d].to" $index) ($rule.to | default list) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{/* Hosts that a URL names, with their ports, and commas between them. */}}
{{- define "modelroll.network.hostsOf" -}}
{{- $hosts := list -}}
{{- range splitList "," . -}}
{{- $hosts = append $hosts (regexReplaceAll "^([a-z+]+://)?([^@/]*@)?([^/?#]*).*$" . "${3}") -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end }}

{{/* Ports that URLs name, several with commas between their hosts. Takes {url, default}. */}}
{{- define "modelroll.network.portsOf" -}}
{{- $ports := list -}}
{{- range include "modelroll.network.hostsOf" .url | splitList "," -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $.default | int) -}}
{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end }}

{{/* A rule for what a URL names. Takes {given, url, default}: `given` has the peers, and the ports where a URL does not say them. */}}
{{- define "modelroll.network.url" -}}
{{- $ports := .given.ports | default (include "modelroll.network.portsOf" . | fromYamlArray) -}}
{{- include "modelroll.network.rule" (dict "to" .given.to "ports" $ports "protocols" (list "TCP")) -}}
{{- end }}

{{/* Rules for the cache, as a list. */}}
{{- define "modelroll.network.cacheRules" -}}
{{- $rules := list -}}
{{- if .Values.valkey.enabled -}}
{{- $valkey := dict "podSelector" (dict "matchLabels" (include "modelroll.selectorLabels" (dict "root" . "component" "valkey") | fromYaml)) -}}
{{- $rules = append $rules (include "modelroll.network.rule" (dict "to" (list $valkey) "ports" (list 6379) "protocols" (list "TCP")) | fromYaml) -}}
{{- else if or .Values.cache.urlSecret.name (hasPrefix "redis" .Values.cache.url) -}}
{{- $rules = append $rules (include "modelroll.network.url" (dict "given" .Values.networkPolicy.cache "url" .Values.cache.url "default" 6379) | fromYaml) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}

{{/* Rules for the collector of traces, as a list. */}}
{{- define "modelroll.network.tracingRules" -}}
{{- $rules := list -}}
{{- with .Values.tracing.endpoint -}}
{{- $default := hasPrefix "https" . | ternary 443 80 -}}
{{- $rules = append $rules (include "modelroll.network.url" (dict "given" $.Values.networkPolicy.tracing "url" . "default" $default) | fromYaml) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}

{{/* Rules, and that of the resolvers where there are any. Takes {root, rules}. */}}
{{- define "modelroll.network.named" -}}
{{- if .rules -}}
{{- append .rules (include "modelroll.network.resolvers" .root | fromYaml) | toYaml -}}
{{- else -}}
[]
{{- end -}}
{{- end }}

{{/* What servers may reach, as a list of rules: nothing unless some value names it. */}}
{{- define "modelroll.network.serverEgress" -}}
{{- $cache := include "modelroll.network.cacheRules" . | fromYamlArray -}}
{{- $tracing := include "modelroll.network.tracingRules" . | fromYamlArray -}}
{{- include "modelroll.network.named" (dict "root" . "rules" (concat .Values.networkPolicy.egress $cache $tracing)) -}}
{{- end }}

{{/* What stream workers may reach, as a list of rules. Of a URL in a Secret the chart knows the default ports alone. */}}
{{- define "modelroll.network.streamEgress" -}}
{{- $url := .Values.stream.url | default "redis://any:6379,any:9092,any:4222" -}}
{{- $default := hasPrefix "redis" $url | ternary 6379 (hasPrefix "kafka" $url | ternary 9092 4222) -}}
{{- $broker := include "modelroll.network.url" (dict "given" .Values.networkPolicy.broker "url" $url "default" $default) | fromYaml -}}
{{- $cache := include "modelroll.network.cacheRules" . | fromYamlArray -}}
{{- include "modelroll.network.named" (dict "root" . "rules" (concat .Values.networkPolicy.egress (list $broker) $cache)) -}}
{{- end }}

{{/* The bits of an address, or of a part of one between colons. */}}
{{- define "modelroll.network.bits" -}}
{{- range splitList ":" . -}}
{{- if contains "." . -}}
{{- range splitList "." . }}{{ atoi . | printf "%08b" }}{{ end -}}
{{- else if . -}}
{{- printf "0x%s" . | int64 | printf "%016b" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What all addresses of a CIDR begin with: 32 or 128 for their kind, a colon, and the bits; empty when it is no CIDR. */}}
{{- define "modelroll.network.prefix" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $four := printf "%s(\\.%s){3}" $byte $byte -}}
{{- $groups := "([0-9a-fA-F]{1,4}:)*" -}}
{{- $six := printf "%s([0-9a-fA-F]{1,4}|%s)" $groups $four -}}
{{- if regexMatch (printf "^(%s|(%s[0-9a-fA-F]{1,4})?::(%s)?)/(0|[1-9][0-9]{0,2})$" $six $groups $six) (toString .) -}}
{{- $address := splitList "/" . | first -}}
{{- $of := contains ":" $address | ternary 128 32 -}}
{{- $halves := splitList "::" $address -}}
{{- $before := include "modelroll.network.bits" (first $halves) -}}
{{- $after := include "modelroll.network.bits" (rest $halves | join "") -}}
{{- $between := sub $of (add (len $before) (len $after)) | int -}}
{{- $length := splitList "/" . | last | atoi -}}
{{- if and (eq (gt $between 0) (contains "::" $address)) (ge $between 0) (le $length $of) -}}
{{- printf "%d:%s" $of (printf "%s%s%s" $before (repeat $between "0") $after | trunc $length) -}}
{{- end -}}
{{- end -}}
{{- end }}
