{{/* Jobs of `modelroll batch`. service/src/modelroll_server/jobs/manifest.py makes the same for `modelroll batch --job`. */}}

{{/* Takes {root, name}. */}}
{{- define "modelroll.batch.fullname" -}}
{{- printf "%s-%s" (include "modelroll.fullname" .root) .name -}}
{{- end }}

{{/* What a job has: its own values, and the defaults where it says nothing. A false or a null of its own is something said. */}}
{{- define "modelroll.batch.merged" -}}
{{- $found := deepCopy .defaults -}}
{{- range $key, $value := .own -}}
{{- $default := get $found $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $default) -}}
{{- $value = include "modelroll.batch.merged" (dict "own" $value "defaults" $default) | fromYaml -}}
{{- end -}}
{{- $_ := set $found $key $value -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{/* What a job's pods know of themselves. First, as others refer to it. */}}
{{- define "modelroll.batch.identity" -}}
{{- range $name, $label := dict "JOB_NAME" "job-name" "JOB_UID" "controller-uid" }}
- name: {{ $name | quote }}
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['batch.kubernetes.io/{{ $label }}']
{{- end }}
{{- end }}

{{/* What matches a schedule, as CronJobs take it: five fields of numbers or names, ranges, steps and lists, or a word. */}}
{{- define "modelroll.batch.schedules" -}}
{{- $months := "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)" -}}
{{- $days := "(?i:sun|mon|tue|wed|thu|fri|sat)" -}}
{{- $fields := list -}}
{{- range list "[0-5]?[0-9]" "([01]?[0-9]|2[0-3])" "(0?[1-9]|[12][0-9]|3[01])" (printf "(0?[1-9]|1[0-2]|%s)" $months) (printf "(0?[0-6]|%s)" $days) -}}
{{- $one := printf "([*?]|%s(-%s)?)(/[0-9]*[1-9][0-9]*)?" . . -}}
{{- $fields = append $fields (printf "%s(,%s)*" $one $one) -}}
{{- end -}}
^(\s*{{ join "\\s+" $fields }}\s*|@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every ([0-9]+(\.[0-9]+)?(s|m|h))+)$
{{- end }}

{{/* What is wrong with the schedule of a CronJob; empty when nothing is. */}}
{{- define "modelroll.batch.unscheduled" -}}
{{- $plain := lower . -}}
{{- range $number, $name := list "sun" "mon" "tue" "wed" "thu" "fri" "sat" -}}
{{- $plain = replace $name (toString $number) $plain -}}
{{- end -}}
{{- range $before, $name := list "jan" "feb" "mar" "apr" "may" "jun" "jul" "aug" "sep" "oct" "nov" "dec" -}}
{{- $plain = replace $name (add1 $before | toString) $plain -}}
{{- end -}}
{{- if not (regexMatch (include "modelroll.batch.schedules" .) .) -}}
is none: it may be five fields as in cron (minute, hour, day of the month, month, day of the week from 0 for Sunday to 6), such as 30 2 * * *, or @daily and its like.
{{- else if regexMatch "\\s(3[01]([-,]3[01])*\\s+0?2|31\\s+(0?[2469]|11)(,(0?[2469]|11))*)\\s+[*?]\\s*$" $plain -}}
never comes: none of its months has such a day.
{{- else -}}
{{- $backwards := "" -}}
{{- range regexFindAll "[0-9]+-[0-9]+" $plain -1 -}}
{{- if gt (splitList "-" . | first | atoi) (splitList "-" . | last | atoi) -}}
{{- $backwards = "has a range that ends before it begins: make two of it, such as 22-23,0-5 for 22-5." -}}
{{- end -}}
{{- end -}}
{{- $backwards -}}
{{- end -}}
{{- end }}

{{/* What names of time zones look like: an area and a place, or one of the few words that stand alone. */}}
{{- define "modelroll.batch.zones" -}}
{{- $areas := "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe|Indian|Mexico|Pacific|US" -}}
{{- $alone := "CET|CST6CDT|Cuba|EET|EST|EST5EDT|Egypt|Eire|GB|GB-Eire|GMT|GMT[+-]?0|Greenwich|HST|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|Libya|MET|MST|MST7MDT|NZ|NZ-CHAT|Navajo|PRC|PST8PDT|Poland|Portugal|ROC|ROK|Singapore|Turkey|UCT|UTC|Universal|W-SU|WET|Zulu" -}}
^(({{ $areas }})(/[A-Z][A-Za-z0-9_+-]*)+|{{ $alone }})$
{{- end }}

{{/* Where a path of a job leads, spelled in one way. Takes {root, job, path}. */}}
{{- define "modelroll.batch.place" -}}
{{- if contains "://" .path -}}
{{- trimSuffix "/" .path -}}
{{- else -}}
{{- printf "%s:%s" (.job.claim | default (include "modelroll.claim" .root)) (trimPrefix "/data/" .path | clean) -}}
{{- end -}}
{{- end }}

{{/* What is wrong with where a job writes; empty when nothing is. What $(NAME) stands for is not known here. Takes {root, job}. */}}
{{- define "modelroll.batch.misplaced" -}}
{{- $in := include "modelroll.batch.place" (merge (dict "path" .job.in) .) -}}
{{- $out := include "modelroll.batch.place" (merge (dict "path" .job.out) .) -}}
{{- $below := hasSuffix ":." $in | ternary (trimSuffix "." $in) (printf "%s/" $in) -}}
{{- $matched := printf "^%s$" (regexQuoteMeta $in | replace "\\*\\*" ".*" | replace "\\*" "[^/]*" | replace "\\?" "[^/]") -}}
{{- if eq $in $out -}}
reads and writes {{ .job.out }}: what it predicts would take the place of its input. Give it another out.
{{- else if or (hasPrefix $below $out) (regexMatch $matched $out) -}}
writes {{ .job.out }}, which lies in what it reads ({{ .job.in }}): another run would read what this one predicted. Give it an out elsewhere.
{{- else if not (regexMatch "(?i)(\\.(parquet|pq|csv|tsv|arrow|feather|ipc)|\\$\\([A-Za-z0-9_.-]+\\))$" (regexReplaceAll "\\$\\(JOB_(NAME|UID)\\)" .job.out "")) -}}
writes {{ .job.out }}, whose name does not say in which format: let it end with .parquet, .csv, .tsv, .arrow or .feather.
{{- end -}}
{{- end }}

{{/* The environment: which model, what may be loaded and where traces go, as the servers have it. Takes {root, job}. */}}
{{- define "modelroll.batch.env" -}}
{{- $env := include "modelroll.batch.identity" . | fromYamlArray -}}
{{- $others := empty .job.model.path | ternary list (list "MODEL_PATH" "MODEL_DIGEST" "TARGET_DIR") -}}
{{- range include "modelroll.model.env" .root | fromYamlArray -}}
{{- if not (has .name $others) -}}
{{- $env = append $env . -}}
{{- end -}}
{{- end -}}
{{- $pod := dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")) -}}
{{- $service := printf "%s-batch" (include "modelroll.fullname" .root) -}}
{{/* No sampler: a pod sends one trace. */}}
{{- $traces := include "modelroll.tracing.env" (dict "root" .root "service" $service "job" "$(JOB_NAME)") | fromYamlArray -}}
{{- $env = concat $env (list $pod) $traces .root.Values.env -}}
{{- if .job.model.path -}}
{{- $env = append $env (dict "name" "MODEL_PATH" "value" .job.model.path) -}}
{{- with .job.model.digest -}}
{{- $env = append $env (dict "name" "MODEL_DIGEST" "value" .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end }}

{{/* The spec of a Job. Takes {root, name, job}. */}}
{{- define "modelroll.batch.spec" -}}
{{- $models := include "modelroll.claim" .root -}}
completionMode: Indexed
completions: {{ int64 .job.indexes }}
parallelism: {{ .job.parallelism | default .job.indexes | int64 }}
# An index that fails is tried again alone. Once one has failed for good OUT cannot come about, and the others need not go on.
backoffLimitPerIndex: {{ int64 .job.retries }}
maxFailedIndexes: 0
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    # A node that is drained is nobody's fault.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    # Wrong options, and what would end the same another time (errors.IN_VAIN).
    - action: FailIndex
      onExitCodes:
        containerName: batch
        operator: In
        values: [2, 65]
{{- with .job.deadlineSeconds }}
activeDeadlineSeconds: {{ int64 . }}
{{- end }}
template:
  metadata:
    labels:
      {{- include "modelroll.selectorLabels" (dict "root" .root "component" "batch") | nindent 6 }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "modelroll.serviceAccount" .root | quote }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    securityContext:
      {{- toYaml .root.Values.podSecurityContext | nindent 6 }}
    {{- range $key := list "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" "affinity" }}
    {{- with get $.root.Values $key }}
    {{ $key }}:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    containers:
      - name: batch
        image: {{ include "modelroll.image" (dict "root" .root "image" .root.Values.image) | quote }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        args:
          - batch
          - --indexes={{ int64 .job.indexes }}
          - --run=$(JOB_UID)
          {{- if and .job.schedule (not (has "--restart" .job.options)) }}
          # What a run left that failed does not stand in the way of the next.
          - --restart
          {{- end }}
          {{- with .job.options }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
          - --
          - {{ .job.in | quote }}
          - {{ .job.out | quote }}
        {{- if .job.claim }}
        workingDir: /data
        {{- end }}
        env:
          {{- include "modelroll.batch.env" . | nindent 10 }}
        {{- with .job.secret }}
        envFrom:
          - secretRef:
              name: {{ . | quote }}
        {{- end }}
        resources:
          {{- include "modelroll.resources" .job.resources | nindent 10 }}
        securityContext:
          {{- toYaml .root.Values.securityContext | nindent 10 }}
        terminationMessagePolicy: FallbackToLogsOnError
        volumeMounts:
          - name: models
            mountPath: /models
            readOnly: true
          {{- with .job.claim }}
          - name: {{ eq . $models | ternary "models" "data" }}
            mountPath: /data
          {{- end }}
          - name: tmp
            mountPath: /tmp
          {{- if not .job.model.path }}
          - name: target
            mountPath: {{ include "modelroll.server.targetDir" .root }}
            readOnly: true
          {{- end }}
    volumes:
      - name: models
        persistentVolumeClaim:
          claimName: {{ $models | quote }}
      {{- if not (has .job.claim (list "" $models)) }}
      - name: data
        persistentVolumeClaim:
          claimName: {{ .job.claim | quote }}
      {{- end }}
      - name: tmp
        emptyDir:
          sizeLimit: {{ .root.Values.tmpSizeLimit }}
      {{- if not .job.model.path }}
      # What is live when a pod begins.
      - name: target
        configMap:
          name: {{ include "modelroll.fullname" .root }}-target
          optional: true
          items:
            - key: settled
              path: settled
      {{- end }}
{{- end }}
