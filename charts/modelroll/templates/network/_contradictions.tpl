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
{{- $limit := include "modelroll.mebibytes" (.resources.limits.memory | default "") | default "0" | int64 -}}
{{- if and $limit (gt (mul 4 (include "modelroll.mebibytes" .maxMemory)) (mul 3 $limit)) -}}
{{- fail (printf "valkey.maxMemory (%s) is more than three quarters of valkey.resources.limits.memory (%v): the kernel would end Valkey before it lets answers go. Raise the limit, or lower maxMemory." .maxMemory .resources.limits.memory) -}}
{{- end -}}
{{- else if .secret.name -}}
{{- fail "valkey.secret.name is set and valkey.enabled is false: set valkey.enabled=true, or cache.urlSecret.name and cache.keySecret.name for a Redis that is there already." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.routes" -}}
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
{{- end }}
