{{/* Values of the network that contradict each other, each refused with a sentence. */}}

{{- define "modelroll.contradictions.valkey" -}}
{{- with .Values.valkey -}}
{{- if .enabled -}}
{{- if or $.Values.cache.url $.Values.cache.urlSecret.name -}}
{{- fail "valkey.enabled runs a cache of the release's own, and cache.url or cache.urlSecret.name names another: set the one or the other." -}}
{{- end -}}
{{- if eq .secret.passwordKey .secret.signingKey -}}
{{- fail (printf "valkey.secret.passwordKey and valkey.secret.signingKey are both %s: who has the password could sign. Give them keys of their own." .secret.passwordKey) -}}
{{- end -}}
{{- $limit := include "modelroll.bytes" (.resources.limits.memory | default "") | default "0" | int64 -}}
{{- if and $limit (gt (mul 4 (include "modelroll.bytes" .maxMemory)) (mul 3 $limit)) -}}
{{- fail (printf "valkey.maxMemory (%s) is more than three quarters of valkey.resources.limits.memory (%v): the kernel would end Valkey before it lets answers go. Raise the limit, or lower maxMemory." .maxMemory .resources.limits.memory) -}}
{{- end -}}
{{- else if .secret.name -}}
{{- fail "valkey.secret.name is set and valkey.enabled is false: set valkey.enabled=true, or cache.urlSecret.name and cache.keySecret.name for a Redis that is there already." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.routes" -}}
{{- range $what, $path := dict "ingress.path" .Values.ingress.path "gateway.path" .Values.gateway.path -}}
{{- if regexMatch "//|/\\.\\.?(/|$)|%2[fF]|[\\s?#]" $path -}}
{{- fail (printf "%s %q is none that requests can begin with: it may have no empty, '.' or '..' segment, no space, no query and no %%2F." $what $path) -}}
{{- end -}}
{{- end -}}
{{- with .Values.ingress -}}
{{- range $certificate := .tls -}}
{{- range $certificate.hosts -}}
{{- if and $.Values.ingress.hosts (not (has . $.Values.ingress.hosts)) -}}
{{- fail (printf "ingress.tls has the host %s, which ingress.hosts has not: add it there, or take it out here." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway -}}
{{- if and .enabled (not .parentRefs) -}}
{{- fail "gateway.enabled makes a route, and gateway.parentRefs names no Gateway for it: set it, such as [{name: public, namespace: gateways}]." -}}
{{- end -}}
{{- $sum := int64 .weight -}}
{{- range .backends -}}
{{- $sum = add $sum .weight -}}
{{- if and (eq .name (include "modelroll.fullname" $)) (eq (.namespace | default $.Release.Namespace) $.Release.Namespace) -}}
{{- fail (printf "gateway.backends has %s, the Service of this release, whose part is gateway.weight: take it out." .name) -}}
{{- end -}}
{{- end -}}
{{- if and .enabled (eq (int64 $sum) 0) -}}
{{- fail "gateway.weight and every weight of gateway.backends are 0: a Gateway answers each request with an error then. Give one of them a weight." -}}
{{- end -}}
{{- if .grpc.enabled -}}
{{- if not .enabled -}}
{{- fail "gateway.grpc.enabled adds to the routes of gateway.enabled, which is false: set it to true." -}}
{{- end -}}
{{- if not $.Values.grpc.enabled -}}
{{- fail "gateway.grpc.enabled makes a route for gRPC, and grpc.enabled is false: set it to true, or make no GRPCRoute." -}}
{{- end -}}
{{- if not (and .grpc.hostnames .hostnames) -}}
{{- fail "gateway.grpc.enabled needs gateway.hostnames and gateway.grpc.hostnames: on one listener a host name belongs to HTTP or to gRPC, and no name is every name." -}}
{{- end -}}
{{- range $grpc := .grpc.hostnames -}}
{{- range $http := $.Values.gateway.hostnames -}}
{{- if or (eq $grpc $http) (and (hasPrefix "*." $grpc) (hasSuffix (trimPrefix "*" $grpc) $http)) (and (hasPrefix "*." $http) (hasSuffix (trimPrefix "*" $http) $grpc)) -}}
{{- fail (printf "gateway.hostnames has %s and gateway.grpc.hostnames has %s, and on one listener a host name belongs to HTTP or to gRPC: give gRPC another." $http $grpc) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.network" -}}
{{- if and .Values.networkPolicy.enabled .Values.monitoring.scrape.enabled (not .Values.networkPolicy.management) -}}
{{- fail "monitoring.scrape.enabled has Prometheus scrape the management ports, and networkPolicy.management lets nobody in: name Prometheus there, or set monitoring.scrape.enabled=false." -}}
{{- end -}}
{{- range $what, $peers := include "modelroll.network.peers" . | fromYaml -}}
{{- range $peers -}}
{{- if hasKey . "ipBlock" -}}
{{- include "modelroll.contradictions.block" (dict "what" $what "peer" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $rule := .Values.networkPolicy.egress -}}
{{- range $rule.ports -}}
{{- if and (hasKey . "endPort") (lt (int .endPort) (int .port)) -}}
{{- fail (printf "networkPolicy.egress[%d].ports has an endPort (%v) that is less than its port (%v)." $index .endPort .port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $what, $url := dict "cache.url" .Values.cache.url "stream.url" .Values.stream.url "tracing.endpoint" .Values.tracing.endpoint -}}
{{- if not (hasPrefix "unix:" ($url | default "")) -}}
{{- include "modelroll.contradictions.ports" (dict "what" $what "url" ($url | default "")) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* An address where peers of a NetworkPolicy may be. Takes {what, peer}. */}}
{{- define "modelroll.contradictions.block" -}}
{{- if gt (len .peer) 1 -}}
{{- fail (printf "networkPolicy.%s has a peer with ipBlock and a selector, and Kubernetes takes the one or the other: make two peers of it." .what) -}}
{{- end -}}
{{- $block := .peer.ipBlock | default dict -}}
{{- $whole := include "modelroll.network.prefix" $block.cidr -}}
{{- range prepend ($block.except | default list) $block.cidr -}}
{{- if not (include "modelroll.network.prefix" .) -}}
{{- fail (printf "networkPolicy.%s has an ipBlock with %v, which is no CIDR: it may be an address and the length of its prefix, such as 10.0.0.0/8." $.what (. | default "no cidr")) -}}
{{- end -}}
{{- end -}}
{{- range $block.except -}}
{{- $part := include "modelroll.network.prefix" . -}}
{{- if or (eq $part $whole) (not (hasPrefix $whole $part)) -}}
{{- fail (printf "networkPolicy.%s has an ipBlock of %s with except %s, which must be a smaller block within it." $.what $block.cidr .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Ports of a URL, of which each host may have one. What $(NAME) stands for is not known here. Takes {what, url}. */}}
{{- define "modelroll.contradictions.ports" -}}
{{- range include "modelroll.network.hostsOf" .url | splitList "," -}}
{{- $port := regexReplaceAll "^(\\[[^]]*\\]|[^:]*)" . "" -}}
{{- if and $port (not (contains "$(" $port)) -}}
{{- if not (and (regexMatch "^:[0-9]{1,5}$" $port) (le 1 (trimPrefix ":" $port | atoi)) (ge 65535 (trimPrefix ":" $port | atoi))) -}}
{{- fail (printf "%s has the port %q: it may be a number from 1 to 65535." $.what (trimPrefix ":" $port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
