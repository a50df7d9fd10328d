{{/* Quantities of Kubernetes and durations of Prometheus, as numbers. */}}

{{/* A quantity of CPU, such as 250m, 2 or "1.5", in thousandths; empty when it is none that can be read here. */}}
{{- define "modelroll.millicores" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+m$" $text -}}
{{- trimSuffix "m" $text -}}
{{- else if regexMatch "^[0-9]*\\.?[0-9]+$" $text -}}
{{- mulf (float64 $text) 1000 | int -}}
{{- end -}}
{{- end }}

{{/* Mebibytes of a quantity such as 192Mi or 1Gi; empty when it is none that can be read here. */}}
{{- define "modelroll.mebibytes" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+(Mi|Gi)$" $text -}}
{{- mul (regexFind "^[0-9]+" $text) (hasSuffix "Gi" $text | ternary 1024 1) -}}
{{- end -}}
{{- end }}

{{/* Seconds of a duration such as 30s, 5m or 1h. */}}
{{- define "modelroll.seconds" -}}
{{- mul (regexFind "^[0-9]+" .) (dict "s" 1 "m" 60 "h" 3600 | pluck (regexFind "[smh]$" .) | first) -}}
{{- end }}
