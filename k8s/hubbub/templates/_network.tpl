{{/* What may be reached, for the policies of nodes and of the migration. */}}

{{- define "hubbub.egress.dns" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end -}}

{{- define "hubbub.egress.postgresql" -}}
{{- $demo := ternary "postgresql" "" .Values.demo.postgresql.enabled -}}
{{- include "hubbub.egress.server" (dict "root" . "server" .Values.networkPolicy.postgresql "demo" $demo) -}}
{{- end -}}

{{- define "hubbub.egress.redis" -}}
{{- $demo := ternary "redis" "" .Values.demo.redis.enabled -}}
{{- include "hubbub.egress.server" (dict "root" . "server" .Values.networkPolicy.redis "demo" $demo) -}}
{{- end -}}

{{- define "hubbub.egress.server" -}}
- ports:
    {{- range .server.ports }}
    - port: {{ . }}
    {{- end }}
  {{- if .demo }}
  to:
    - podSelector:
        matchLabels:
          {{- include "hubbub.selector" (dict "root" .root "component" (printf "demo-%s" .demo)) | nindent 10 }}
  {{- else if .server.to }}
  to:
    {{- toYaml .server.to | nindent 4 }}
  {{- end }}
{{- end -}}
