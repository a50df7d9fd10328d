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

{{/* Bytes of a quantity such as 192Mi, 1.5G or 1048576; empty when it is none. */}}
{{- define "modelroll.bytes" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9.]+(e[+][0-9]+)?([kMGTP]|[KMGTP]i)?$" $text -}}
{{- $number := regexFind "^[0-9.]+(e[+][0-9]+)?" $text -}}
{{- $bytes := float64 $number -}}
{{- $factor := hasSuffix "i" $text | ternary 1024 1000 -}}
{{- range until (regexFind "[KkMGTP]" $text | upper | get (dict "" 0 "K" 1 "M" 2 "G" 3 "T" 4 "P" 5)) -}}
{{- $bytes = mulf $bytes $factor -}}
{{- end -}}
{{- int64 $bytes -}}
{{- end -}}
{{- end }}

{{/* Seconds of a duration such as 30s, 5m or 1h. */}}
{{- define "modelroll.seconds" -}}
{{- mul (regexFind "^[0-9]+" .) (dict "s" 1 "m" 60 "h" 3600 | pluck (regexFind "[smh]$" .) | first) -}}
{{- end }}
