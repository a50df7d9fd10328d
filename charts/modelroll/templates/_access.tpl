{{/* Who may call: the certificate, and the tokens, as the server's pods and the test's have them. */}}

{{- define "modelroll.access.dir" -}}/run/modelroll/access{{- end }}

{{- define "modelroll.access.env" -}}
{{- $dir := include "modelroll.access.dir" . -}}
{{- if .Values.tls.secretName }}
- name: TLS_DIR
  value: {{ $dir }}/tls
{{- end }}
{{- if .Values.tls.clientCASecret.name }}
- name: TLS_CLIENT_CA
  value: {{ $dir }}/client-ca/ca.crt
{{- end }}
{{- if .Values.auth.tokensSecret.name }}
- name: TOKENS_DIR
  value: {{ $dir }}/tokens
{{- end }}
{{- end }}

{{/* Whole directories: a file that is mounted by itself (subPath) never changes. */}}
{{- define "modelroll.access.mounts" -}}
{{- $dir := include "modelroll.access.dir" . -}}
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: {{ $dir }}/tls
  readOnly: true
{{- end }}
{{- if .Values.tls.clientCASecret.name }}
- name: client-ca
  mountPath: {{ $dir }}/client-ca
  readOnly: true
{{- end }}
{{- if .Values.auth.tokensSecret.name }}
- name: tokens
  mountPath: {{ $dir }}/tokens
  readOnly: true
{{- end }}
{{- end }}

{{- define "modelroll.access.volumes" -}}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- with .Values.tls.clientCASecret }}
{{- if .name }}
- name: client-ca
  secret:
    secretName: {{ .name | quote }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.auth.tokensSecret.name }}
- name: tokens
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Of the pod of `helm test`: what it takes to be a client. */}}
{{- define "modelroll.access.test.volumes" -}}
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    items:
      - key: tls.crt
        path: tls.crt
{{- end }}
{{- with .Values.auth.tokensSecret.name }}
- name: tokens
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "modelroll.access.scheme" -}}
{{- empty .Values.tls.secretName | ternary "http" "https" -}}
{{- end }}

{{- define "modelroll.contradictions.access" -}}
{{- if and .Values.tls.clientCASecret.name (not .Values.tls.secretName) -}}
{{- fail "tls.clientCASecret.name asks clients for certificates, and without tls.secretName nothing is served over TLS: set both, or neither." -}}
{{- end -}}
{{- if and .Values.tls.secretName (eq .Values.tls.secretName .Values.auth.tokensSecret.name) -}}
{{- fail (printf "auth.tokensSecret.name and tls.secretName are both %s: each key of the one is a caller, so the key of the certificate would be a token." .Values.tls.secretName) -}}
{{- end -}}
{{- end }}
