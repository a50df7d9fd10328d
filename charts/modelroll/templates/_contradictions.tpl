{{/*
Values that contradict each other, each refused with a sentence. What is wrong by itself is refused by values.schema.json.
*/}}
{{- define "modelroll.contradictions" -}}
{{- $name := include "modelroll.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "The release's name %q cannot name a Service (lower-case letters, digits and hyphens, a letter first): choose another, or set fullnameOverride." $name) -}}
{{- end -}}
{{- if has $name (list "true" "false" "null" "yes" "no" "on" "off" "y" "n") -}}
{{- fail (printf "The release's name %q is no text in YAML but a truth value, or nothing: choose another, or set fullnameOverride." $name) -}}
{{- end -}}
{{- include "modelroll.contradictions.model" . -}}
{{- include "modelroll.contradictions.signing" . -}}
{{- include "modelroll.contradictions.persistence" . -}}
{{- include "modelroll.contradictions.cache" . -}}
{{- include "modelroll.contradictions.access" . -}}
{{- include "modelroll.contradictions.scaling" . -}}
{{- include "modelroll.contradictions.pod" . -}}
{{- include "modelroll.contradictions.monitoring" . -}}
{{- include "modelroll.contradictions.valkey" . -}}
{{- include "modelroll.contradictions.routes" . -}}
{{- include "modelroll.contradictions.stream" . -}}
{{- include "modelroll.contradictions.network" . -}}
{{- include "modelroll.contradictions.tracing" . -}}
{{- include "modelroll.contradictions.batch" . -}}
{{- include "modelroll.contradictions.resources" . -}}
{{- end }}

{{/* What a container asks for at the least is no more than it may have at the most. */}}
{{- define "modelroll.contradictions.resources" -}}
{{- $v := .Values -}}
{{- $all := dict "" $v.resources "operator." $v.operator.resources "stream." $v.stream.resources "valkey." $v.valkey.resources "batch.defaults." $v.batch.defaults.resources -}}
{{- range $name, $own := $v.batch.jobs -}}
{{- $job := include "modelroll.batch.merged" (dict "own" $own "defaults" $v.batch.defaults) | fromYaml -}}
{{- $_ := set $all (printf "batch.jobs.%s." $name) $job.resources -}}
{{- end -}}
{{- range $of, $resources := $all -}}
{{- range $kind, $number := dict "cpu" "modelroll.millicores" "memory" "modelroll.bytes" -}}
{{- $least := index $resources.requests $kind -}}
{{- $most := index $resources.limits $kind -}}
{{- $small := include $number $least -}}
{{- $large := include $number $most -}}
{{- if and $small $large (gt (int64 $small) (int64 $large)) -}}
{{- fail (printf "%sresources.requests.%s (%v) is more than %sresources.limits.%s (%v)." $of $kind $least $of $kind $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.model" -}}
{{- if not .Values.model.path -}}
{{- fail "model.path is required: the artifact on the claim that is served until a ModelVersion says otherwise, such as --set model.path=churn/1.2.0." -}}
{{- end -}}
{{- if has ".." (splitList "/" .Values.model.path) -}}
{{- fail (printf "model.path %q leaves the claim: it may have no '..' segment." .Values.model.path) -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.signing" -}}
{{- with .Values.signing -}}
{{- if and .publicKey .publicKeySecret.name -}}
{{- fail "signing.publicKey and signing.publicKeySecret.name both say whose signatures count: set the one or the other." -}}
{{- end -}}
{{- $key := or .publicKey .publicKeySecret.name -}}
{{- if and (eq $.Values.artifactPolicy "signed") (not $key) -}}
{{- fail "artifactPolicy is signed, and nothing says whose signatures count: --set-file signing.publicKey=key.pub, or set signing.publicKeySecret.name." -}}
{{- end -}}
{{- if and (ne $.Values.artifactPolicy "signed") $key -}}
{{- fail (printf "signing names a key, and artifactPolicy is %s, under which no signature is looked at: set artifactPolicy=signed, or no key." $.Values.artifactPolicy) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.persistence" -}}
{{- with .Values.persistence -}}
{{- if .existingClaim -}}
{{- $set := list -}}
{{- range $key := list "size" "accessMode" "storageClassName" "annotations" -}}
{{- if get $.Values.persistence $key -}}
{{- $set = append $set (printf "persistence.%s" $key) -}}
{{- end -}}
{{- end -}}
{{- if $set -}}
{{- fail (printf "persistence.existingClaim names a claim that is there already, and %s would describe one that the chart makes: set the one or the other." (join ", " $set)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.cache" -}}
{{- with .Values.cache -}}
{{- if and .url .urlSecret.name -}}
{{- fail "cache.url and cache.urlSecret.name both say where the Redis is: set the one or the other." -}}
{{- end -}}
{{- if and .keySecret.name (not (or .url .urlSecret.name $.Values.valkey.enabled)) -}}
{{- fail "cache.keySecret.name signs what is in a Redis, and there is none: set cache.url or cache.urlSecret.name, or no key." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.scaling" -}}
{{- if .Values.autoscaling.enabled -}}
{{- if not (kindIs "invalid" .Values.replicas) -}}
{{- fail "replicas is set and the autoscaler is on, which would overwrite it: set autoscaling.minReplicas and maxReplicas, or autoscaling.enabled=false." -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d)." (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if not .Values.resources.requests.cpu -}}
{{- fail "The autoscaler's target is a percentage of resources.requests.cpu, which is not set: set it, or autoscaling.enabled=false." -}}
{{- end -}}
{{- include "modelroll.contradictions.reach" . -}}
{{- end -}}
{{- if and (eq (toString .Values.workers) "auto") (not .Values.resources.requests.cpu) -}}
{{- fail "workers is auto, which follows resources.requests.cpu, and that is not set: set it, or a number of workers." -}}
{{- end -}}
{{- if and .Values.grpc.enabled (gt (include "modelroll.server.workers" . | int) 1) -}}
{{- fail (printf "%s workers answer in a pod, and gRPC is spoken by one process alone: set grpc.enabled=false, or workers=1." (include "modelroll.server.workers" .)) -}}
{{- end -}}
{{- if and .Values.grpc.enabled (eq (int .Values.service.port) (int .Values.service.grpcPort)) -}}
{{- fail (printf "service.port and service.grpcPort are both %d: give each a port of its own, or set grpc.enabled=false." (int .Values.service.port)) -}}
{{- end -}}
{{- if and .Values.service.nodePort (ne .Values.service.type "NodePort") -}}
{{- fail (printf "service.nodePort is set and service.type is %s: set service.type=NodePort, or no nodePort." .Values.service.type) -}}
{{- end -}}
{{- end }}

{{/* A pod can use one CPU a worker, and no more than its limit: a target above that is never reached. */}}
{{- define "modelroll.contradictions.reach" -}}
{{- $requested := include "modelroll.millicores" .Values.resources.requests.cpu | int -}}
{{- $workers := include "modelroll.server.workers" . | int -}}
{{- $usable := mul $workers 1000 | int -}}
{{- $why := printf "workers use one CPU each, and it has %d" $workers -}}
{{- $limit := include "modelroll.millicores" (.Values.resources.limits.cpu | default "") | default "0" | int -}}
{{- if and $limit (lt $limit $usable) -}}
{{- $usable = $limit -}}
{{- $why = printf "resources.limits.cpu is %v" .Values.resources.limits.cpu -}}
{{- end -}}
{{- $target := int .Values.autoscaling.targetCPUUtilizationPercentage -}}
{{- if and $requested (lt (mul $usable 100) (mul $target $requested)) -}}
{{- fail (printf "The autoscaler would never scale: its target is %d%% of resources.requests.cpu (%v), and no pod gets there, as %s. Set workers=auto, or request less CPU, or lower autoscaling.targetCPUUtilizationPercentage." $target .Values.resources.requests.cpu $why) -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.pod" -}}
{{- $unready := include "modelroll.server.unreadyAfter" . | int64 -}}
{{- $needed := add (mul 2 .Values.drain.delaySeconds) $unready .Values.drain.shutdownTimeoutSeconds 5 -}}
{{- if lt (int64 .Values.drain.terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "drain.terminationGracePeriodSeconds (%v) is less than twice drain.delaySeconds + %v for the readiness probe to notice + drain.shutdownTimeoutSeconds + 5 for the process to end (%v): the kubelet would kill pods that still answer." .Values.drain.terminationGracePeriodSeconds $unready $needed) -}}
{{- end -}}
{{- range $key, $_ := .Values.podAnnotations -}}
{{- if hasPrefix "modelroll.dev/" $key -}}
{{- fail (printf "podAnnotations has %s: annotations of modelroll.dev on pods are the operator's. To say what is served, apply a ModelVersion." $key) -}}
{{- end -}}
{{- end -}}
{{- $owned := include "modelroll.selectorLabels" (dict "root" . "component" "server") | fromYaml -}}
{{- $_ := set $owned "modelroll.dev/model" "" -}}
{{- range $labels := list .Values.podLabels .Values.commonLabels -}}
{{- range $key, $_ := $labels -}}
{{- if or (hasKey $owned $key) (hasPrefix "modelroll.dev/" $key) -}}
{{- fail (printf "The label %s is set by the chart: choose another key in podLabels or commonLabels." $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $user := dig "runAsUser" (dig "runAsUser" 1 (.Values.podSecurityContext | default dict)) (.Values.securityContext | default dict) -}}
{{- $unprivileged := dig "runAsNonRoot" (dig "runAsNonRoot" false (.Values.podSecurityContext | default dict)) (.Values.securityContext | default dict) -}}
{{- if and $unprivileged (not (kindIs "invalid" $user)) (eq (int64 $user) 0) -}}
{{- fail "securityContext or podSecurityContext has runAsUser 0 and runAsNonRoot true: the kubelet would start no container. Set another user, or runAsNonRoot=false." -}}
{{- end -}}
{{- $spread := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $what := printf "%s with %s" .topologyKey .whenUnsatisfiable -}}
{{- if has $what $spread -}}
{{- fail (printf "topologySpreadConstraints has %s twice: make one of the two." $what) -}}
{{- end -}}
{{- $spread = append $spread $what -}}
{{- end -}}
{{- $set := include "modelroll.server.env" . | fromYamlArray -}}
{{- $seen := list -}}
{{- range $extra := .Values.env -}}
{{- if has .name $seen -}}
{{- fail (printf "env has %s twice: take one of the two out." .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- if and .value .valueFrom -}}
{{- fail (printf "env has %s with value and valueFrom: set the one or the other." .name) -}}
{{- end -}}
{{- range $set -}}
{{- if eq .name $extra.name -}}
{{- fail (printf "env has %s, which the chart sets from another value: set that one." .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.monitoring" -}}
{{- with .Values.monitoring -}}
{{- if and .scrape.enabled .scrape.interval -}}
{{- $interval := include "modelroll.seconds" .scrape.interval | int -}}
{{- if and .scrape.timeout (gt (include "modelroll.seconds" .scrape.timeout | int) $interval) -}}
{{- fail (printf "monitoring.scrape.timeout (%s) is more than monitoring.scrape.interval (%s): Prometheus refuses that." .scrape.timeout .scrape.interval) -}}
{{- end -}}
{{- if and .rules.enabled (lt (include "modelroll.seconds" .rules.window | int) (mul 4 $interval | int)) -}}
{{- fail (printf "monitoring.rules.window (%s) is less than four times monitoring.scrape.interval (%s): one scrape that is lost would leave no rate to alert on." .rules.window .scrape.interval) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .rules.alertLabels -}}
{{- if has $key (list "severity" "namespace" "alertname") -}}
{{- fail (printf "monitoring.rules.alertLabels has %s, which the alerts set themselves: choose another key." $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroll.contradictions.batch" -}}
{{- $written := dict -}}
{{- range $name, $own := .Values.batch.jobs -}}
{{- $job := include "modelroll.batch.merged" (dict "own" $own "defaults" $.Values.batch.defaults) | fromYaml -}}
{{- $what := printf "batch.jobs.%s" $name -}}
{{- $whole := include "modelroll.batch.fullname" (dict "root" $ "name" $name) -}}
{{- /* Of the 63 that the name of an index' pod may have, its Job's own ending takes 9, and the index its hyphen and its digits. */ -}}
{{- $most := sub 53 (sub $job.indexes 1 | toString | len) -}}
{{- if gt (len $whole | int64) $most -}}
{{- fail (printf "%s would be named %s, and Kubernetes takes %d characters where indexes is %d: choose a shorter name, or set fullnameOverride." $what $whole $most (int64 $job.indexes)) -}}
{{- end -}}
{{- if and $job.parallelism (gt (int $job.parallelism) (int $job.indexes)) -}}
{{- fail (printf "%s.parallelism (%d) is more than its indexes (%d): there would be nothing to do for the others." $what (int $job.parallelism) (int $job.indexes)) -}}
{{- end -}}
{{- range $option := $job.options -}}
{{- $own := list "--indexes" "--index" "--run" "--artifact" "--digest" -}}
{{- $own = concat $own (list "--job" "--release" "--image" "--claim" "--data-claim" "--parallelism" "--retries" "--cpu" "--memory" "--env-from" "--keep-for" "--name" "--namespace" "-n" "--context" "--dry-run" "--detach") -}}
{{- range $own -}}
{{- if or (eq $option .) (hasPrefix (printf "%s=" .) $option) -}}
{{- fail (printf "%s.options has %s, which the chart says itself: use its other values." $what .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $path := list $job.in $job.out -}}
{{- if and (hasPrefix "/" $path) (not (hasPrefix "/data/" $path)) -}}
{{- fail (printf "%s names %s, and its claim is mounted at /data: give a path relative to that." $what $path) -}}
{{- end -}}
{{- if and (not (contains "://" $path)) (has ".." (splitList "/" $path)) -}}
{{- fail (printf "%s names %s, which may have no '..' segment: give a path on its claim." $what $path) -}}
{{- end -}}
{{- end -}}
{{- range $path := list $job.in $job.out -}}
{{- if not (or $job.claim (contains "://" $path)) -}}
{{- fail (printf "%s has %s, which is no URL, and names no claim that it lies on: set its claim. It may be %s, that of the models: then the job's pods can write to the models." $what $path (include "modelroll.claim" $)) -}}
{{- end -}}
{{- end -}}
{{- range $variable := include "modelroll.batch.identity" $ | fromYamlArray -}}
{{- range $.Values.env -}}
{{- if eq .name $variable.name -}}
{{- fail (printf "env has %s, which the chart sets itself in the pods of %s: choose another name." .name $what) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $job.schedule (not (contains "$(JOB_NAME)" $job.out)) (not (has "--overwrite" $job.options)) -}}
{{- fail (printf "%s has a schedule, and would find %s there from the second time on: add --overwrite to its options, or $(JOB_NAME) to its out." $what $job.out) -}}
{{- end -}}
{{- with $job.schedule -}}
{{- with include "modelroll.batch.unscheduled" . -}}
{{- fail (printf "%s.schedule %q %s" $what $job.schedule .) -}}
{{- end -}}
{{- end -}}
{{- with include "modelroll.batch.misplaced" (dict "root" $ "job" $job) -}}
{{- fail (printf "%s %s" $what .) -}}
{{- end -}}
{{- $out := include "modelroll.batch.place" (dict "root" $ "job" $job "path" $job.out) -}}
{{- with get $written $out -}}
{{- fail (printf "batch.jobs.%s and %s both write %s, and one would undo what the other did: give each an out of its own." . $what $job.out) -}}
{{- end -}}
{{- if not (contains "$(JOB_NAME)" $job.out) -}}
{{- $_ := set $written $out $name -}}
{{- end -}}
{{- if and $job.timeZone (not $job.schedule) -}}
{{- fail (printf "%s.timeZone is set, and there is no schedule." $what) -}}
{{- end -}}
{{- if and $job.timeZone (not (regexMatch (include "modelroll.batch.zones" .) $job.timeZone)) -}}
{{- fail (printf "%s.timeZone %q is none: it may be a name of the IANA time zones, spelled as there, such as Europe/Berlin or UTC." $what $job.timeZone) -}}
{{- end -}}
{{- if and $job.model.digest (not $job.model.path) -}}
{{- fail (printf "%s.model.digest is set, and no model.path: set both, or none for what is live." $what) -}}
{{- end -}}
{{- if has ".." (splitList "/" $job.model.path) -}}
{{- fail (printf "%s.model.path %q leaves the claim: it may have no '..' segment." $what $job.model.path) -}}
{{- end -}}
{{- end -}}
{{- end }}
