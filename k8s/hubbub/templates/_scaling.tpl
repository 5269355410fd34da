{{/* How fast nodes come and go, for both kinds of autoscalers. */}}

{{- define "hubbub.scalingBehavior" -}}
{{- with .Values.autoscaling -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Pods
      value: {{ .scaleUp.pods }}
      periodSeconds: {{ .scaleUp.periodSeconds }}
scaleDown:
  # Each pod that goes closes its connections, which come back elsewhere: slowly, and never two drains at once.
  stabilizationWindowSeconds: {{ .scaleDown.stabilizationSeconds }}
  policies:
    - type: Pods
      value: {{ .scaleDown.pods }}
      periodSeconds: {{ .scaleDown.periodSeconds }}
{{- end -}}
{{- end -}}
