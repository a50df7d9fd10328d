{{/* Names and labels. */}}

{{/* Name of the Deployment and the Service; with the longest ending of a Service (-management) the 63 characters that Kubernetes takes. */}}
{{- define "modelroll.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* Name of the model, as in the label modelroll.dev/model. */}}
{{- define "modelroll.model" -}}
{{- .Values.model.name | default (include "modelroll.fullname" .) -}}
{{- end }}

{{/* Name of the claim that holds the models. */}}
{{- define "modelroll.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-models" (include "modelroll.fullname" .)) -}}
{{- end }}

{{- define "modelroll.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "modelroll.fullname" .) "default") -}}
{{- end }}

{{- define "modelroll.operator.fullname" -}}
{{- printf "%s-operator" (include "modelroll.fullname" .) -}}
{{- end }}

{{- define "modelroll.operator.serviceAccount" -}}
{{- .Values.operator.serviceAccount.name | default (include "modelroll.operator.fullname" .) -}}
{{- end }}

{{/* What a selector matches; never changes in the life of a release. Takes {root, component}. */}}
{{- define "modelroll.selectorLabels" -}}
app.kubernetes.io/name: modelroll
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of every object. Takes {root, component}, and `more` where a value has labels for this object alone: those go before all others. */}}
{{- define "modelroll.labels" -}}
{{- $own := include "modelroll.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- merge (dict) (.more | default dict) $own .root.Values.commonLabels (dict "app.kubernetes.io/part-of" "modelroll") | toYaml -}}
{{- end }}
