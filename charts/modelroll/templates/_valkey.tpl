{{/* The release's own Valkey: names, and what the servers are told of it. */}}

{{- define "modelroll.valkey.fullname" -}}
{{- printf "%s-valkey" (include "modelroll.fullname" .) -}}
{{- end }}

{{/* The Secret with its password and the key that signs values. */}}
{{- define "modelroll.valkey.secret" -}}
{{- .Values.valkey.secret.name | default (include "modelroll.valkey.fullname" .) -}}
{{- end }}

{{/* A part of that Secret as an environment variable. Takes {root, name, key}. */}}
{{- define "modelroll.valkey.variable" -}}
- name: {{ .name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ include "modelroll.valkey.secret" .root | quote }}
      key: {{ .key | quote }}
{{- end }}

{{/* Environment of the servers. */}}
{{- define "modelroll.valkey.env" -}}
{{ include "modelroll.valkey.variable" (dict "root" . "name" "VALKEY_PASSWORD" "key" .Values.valkey.secret.passwordKey) }}
- name: CACHE_URL
  value: redis://:$(VALKEY_PASSWORD)@{{ include "modelroll.valkey.fullname" . }}:6379/0
{{- if not .Values.cache.keySecret.name }}
{{ include "modelroll.valkey.variable" (dict "root" . "name" "CACHE_KEY" "key" .Values.valkey.secret.signingKey) }}
{{- end }}
{{- end }}
