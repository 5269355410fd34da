{{/* Names and labels. Nothing here depends on what is enabled. */}}

{{- define "hubbub.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters at most, so that a suffix still fits into a label. */}}
{{- define "hubbub.fullname" -}}
{{- $name := include "hubbub.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects pods: never changes in the life of a release. */}}
{{- define "hubbub.selector" -}}
app.kubernetes.io/name: {{ include "hubbub.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "hubbub.labels" -}}
{{ include "hubbub.selector" . }}
app.kubernetes.io/part-of: hubbub
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "hubbub.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hubbub.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "hubbub.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the certificate, whoever made it; empty when there is none. */}}
{{- define "hubbub.tlsSecret" -}}
{{- if .Values.tls.existingSecret -}}
{{- .Values.tls.existingSecret -}}
{{- else if .Values.certificate.enabled -}}
{{- printf "%s-tls" (include "hubbub.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* The names under which clients come, by whichever way in is open. */}}
{{- define "hubbub.hosts" -}}
{{- $hosts := list -}}
{{- if .Values.ingress.enabled }}{{ $hosts = concat $hosts .Values.ingress.hosts }}{{ end -}}
{{- if .Values.gateway.enabled }}{{ $hosts = concat $hosts .Values.gateway.hosts }}{{ end -}}
{{- toYaml (uniq $hosts) -}}
{{- end -}}

{{/* Who migrates: a database that comes with the release is not there before it. */}}
{{- define "hubbub.migratesByJob" -}}
{{- if and (eq .Values.migration.by "job") (not .Values.sqlite.enabled) (not .Values.demo.postgresql.enabled) }}true{{ end -}}
{{- end -}}

{{/* A Job cannot be changed, so each version has its own. */}}
{{- define "hubbub.migrationName" -}}
{{- $version := .Values.image.digest | default .Values.image.tag | default .Chart.AppVersion -}}
{{- $version = $version | replace "sha256:" "" | lower | replace "." "-" | replace "_" "-" | replace "+" "-" | trunc 12 | trimSuffix "-" -}}
{{- printf "%s-migrate-%s" (include "hubbub.fullname" .) $version -}}
{{- end -}}
