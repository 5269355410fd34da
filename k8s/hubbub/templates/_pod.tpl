{{/* What the pods of nodes and of the migration have in common. */}}

{{/* Pod Security "restricted". */}}
{{- define "hubbub.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.runAsUser }}
runAsGroup: {{ .Values.podSecurity.runAsGroup }}
fsGroup: {{ .Values.podSecurity.runAsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "hubbub.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "hubbub.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The volumes of configuration and secrets. `suffix` tells the objects of the hook from those of the release. */}}
{{- define "hubbub.configVolumes" -}}
{{- $fullname := include "hubbub.fullname" .root -}}
- name: config
  configMap:
    name: {{ $fullname }}{{ .suffix }}
{{- with include "hubbub.secrets" .root | fromYamlArray }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ if .value }}{{ $fullname }}{{ $.suffix }}-secrets{{ else }}{{ .secret }}{{ end }}
          items:
            - key: {{ .key | quote }}
              path: {{ .file }}
      {{- end }}
{{- end }}
{{- with .root.Values.redisAuthorities }}
{{- if .existingConfigMap }}
- name: redis-authorities
  configMap:
    name: {{ .existingConfigMap | quote }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{- define "hubbub.configMounts" -}}
- name: config
  mountPath: {{ include "hubbub.configFolder" . }}
  readOnly: true
{{- if include "hubbub.secrets" . | fromYamlArray }}
- name: secrets
  mountPath: {{ include "hubbub.secretsFolder" . }}
  readOnly: true
{{- end }}
{{- if .Values.redisAuthorities.existingConfigMap }}
- name: redis-authorities
  mountPath: {{ include "hubbub.authoritiesFolder" . }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* The contents of the ConfigMap. */}}
{{- define "hubbub.configFiles" -}}
hubbub.toml: |
  {{- include "hubbub.toml" . | nindent 2 }}
{{- with .Values.tokenPublicKey }}
token-public-key.pem: |
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The contents of the Secret: what was given as a value. */}}
{{- define "hubbub.secretFiles" -}}
{{- range include "hubbub.secrets" . | fromYamlArray }}
{{- if .value }}
{{ .file }}: {{ .value | quote }}
{{- end }}
{{- end }}
{{- end -}}
