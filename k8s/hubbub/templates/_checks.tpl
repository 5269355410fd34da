{{/* What the schema cannot say: values that are impossible together, and what is missing. Each names the value. */}}

{{- define "hubbub.checks" -}}
{{- range $name, $given := .Values.secrets -}}
{{- if and $given.value $given.existingSecret -}}
{{- fail (printf "secrets.%s: `value` and `existingSecret` are both given; one is enough" $name) -}}
{{- end -}}
{{- end -}}
{{- if .Values.sqlite.enabled }}{{ include "hubbub.checks.sqlite" . }}{{ else }}{{ include "hubbub.checks.cluster" . }}{{ end -}}
{{- include "hubbub.checks.drain" . -}}
{{- include "hubbub.checks.tls" . -}}
{{- include "hubbub.checks.scaling" . -}}
{{- end -}}

{{- define "hubbub.checks.given" -}}
{{- $given := get .root.Values.secrets .name -}}
{{- if or $given.value $given.existingSecret }}true{{ end -}}
{{- end -}}

{{- define "hubbub.checks.cluster" -}}
{{- $given := dict -}}
{{- range $name, $_ := .Values.secrets -}}
{{- $_ := set $given $name (include "hubbub.checks.given" (dict "root" $ "name" $name)) -}}
{{- end -}}
{{- if and $given.databaseUrl .Values.demo.postgresql.enabled -}}
{{- fail "demo.postgresql.enabled: `secrets.databaseUrl` is given too; one database is enough" -}}
{{- end -}}
{{- if and (or $given.redisUrl $given.redisPublishUrls) .Values.demo.redis.enabled -}}
{{- fail "demo.redis.enabled: `secrets.redisUrl` or `secrets.redisPublishUrls` is given too; one Redis is enough" -}}
{{- end -}}
{{- if not (or $given.databaseUrl .Values.demo.postgresql.enabled) -}}
{{- fail "secrets.databaseUrl is missing: give its `existingSecret` or `value` (to try out: demo.postgresql.enabled, or sqlite.enabled for one node)" -}}
{{- end -}}
{{- if and $given.redisUrl $given.redisPublishUrls -}}
{{- fail "secrets.redisPublishUrls: `secrets.redisUrl` is given too; several servers stand in the one, one in the other" -}}
{{- end -}}
{{- if not (or $given.redisUrl $given.redisPublishUrls .Values.demo.redis.enabled) -}}
{{- fail "secrets.redisUrl is missing: give its `existingSecret` or `value` (to try out: demo.redis.enabled)" -}}
{{- end -}}
{{- if and $given.tokenSecret .Values.tokenPublicKey -}}
{{- fail "tokenPublicKey: `secrets.tokenSecret` is given too; one is enough" -}}
{{- end -}}
{{- if not (or $given.tokenSecret .Values.tokenPublicKey) -}}
{{- fail "secrets.tokenSecret is missing: give its `existingSecret` or `value` (32 bytes or more), or `tokenPublicKey`" -}}
{{- end -}}
{{- end -}}

{{- define "hubbub.checks.sqlite" -}}
{{- if .Values.autoscaling.enabled }}{{ fail "autoscaling.enabled: with sqlite.enabled there is one node" }}{{ end -}}
{{- if .Values.keda.enabled }}{{ fail "keda.enabled: with sqlite.enabled there is one node" }}{{ end -}}
{{- if ne (int .Values.replicas) 1 }}{{ fail (printf "replicas: is %d, but with sqlite.enabled there is one node: set it to 1" (int .Values.replicas)) }}{{ end -}}
{{- if or .Values.demo.postgresql.enabled .Values.demo.redis.enabled -}}
{{- fail "demo: with sqlite.enabled no other database is used" -}}
{{- end -}}
{{- range $name := list "databaseUrl" "databaseReplicaUrl" "redisUrl" "redisPublishUrls" "redisSentinelPassword" -}}
{{- if include "hubbub.checks.given" (dict "root" $ "name" $name) -}}
{{- fail (printf "secrets.%s: is given, but with sqlite.enabled one node is alone" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hubbub.checks.drain" -}}
{{- with .Values.config.drain -}}
{{- $grace := include "hubbub.seconds" (.grace | default "5s") | int -}}
{{- $spread := include "hubbub.seconds" (.spread | default "25s") | int -}}
{{- $timeout := include "hubbub.seconds" (.timeout | default "45s") | int -}}
{{- if le $timeout (add $grace $spread | int) -}}
{{- fail (printf "config.drain.timeout: is %ds; it has to be longer than config.drain.grace and config.drain.spread together (%ds)" $timeout (add $grace $spread)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hubbub.checks.tls" -}}
{{- if and (eq .Values.tls.mode "files") (not (include "hubbub.tlsSecret" .)) -}}
{{- fail "tls.existingSecret is missing: tls.mode is `files` (or let cert-manager make one: certificate.enabled)" -}}
{{- end -}}
{{- if and .Values.certificate.enabled (not .Values.certificate.issuerRef.name) -}}
{{- fail "certificate.issuerRef.name is missing: certificate.enabled is set" -}}
{{- end -}}
{{- if and .Values.certificate.enabled (not (concat .Values.certificate.dnsNames (include "hubbub.hosts" . | fromYamlArray))) -}}
{{- fail "certificate.dnsNames is empty, and no Ingress or route has hosts: the certificate would name nobody" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}{{ fail "ingress.hosts is empty: ingress.enabled is set" }}{{ end -}}
{{- if .Values.gateway.enabled -}}
{{- if not .Values.gateway.parentRefs }}{{ fail "gateway.parentRefs is empty: gateway.enabled is set" }}{{ end -}}
{{- if and (eq .Values.gateway.kind "TLSRoute") (eq .Values.tls.mode "off") -}}
{{- fail "tls.mode: is `off`, but a TLSRoute (gateway.kind) passes TLS through to the nodes: set it to `files`" -}}
{{- end -}}
{{- if and (eq .Values.gateway.kind "TLSRoute") (not .Values.gateway.hosts) -}}
{{- fail "gateway.hosts is empty: a TLSRoute (gateway.kind) finds its nodes by name" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hubbub.checks.scaling" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "keda.enabled: autoscaling.enabled is set too; only one of them may decide" -}}
{{- end -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- with .Values.autoscaling -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- fail (printf "autoscaling.maxReplicas: is %d, fewer than autoscaling.minReplicas (%d)" (int .maxReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- if and (not .connectionsPerPod) (not .cpuPercent) -}}
{{- fail "autoscaling.connectionsPerPod: is 0, and so is autoscaling.cpuPercent: nothing would decide" -}}
{{- end -}}
{{- $drain := $.Values.config.drain | default dict -}}
{{- $timeout := include "hubbub.seconds" ($drain.timeout | default "45s") | int -}}
{{- if lt (int .scaleDown.periodSeconds) $timeout -}}
{{- fail (printf "autoscaling.scaleDown.periodSeconds: is %d, shorter than a drain (config.drain.timeout, %ds)" (int .scaleDown.periodSeconds) $timeout) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq (int .Values.rollout.maxSurge) 0) (eq (int .Values.rollout.maxUnavailable) 0) -}}
{{- fail "rollout.maxSurge: is 0, and so is rollout.maxUnavailable: nothing could ever change" -}}
{{- end -}}
{{- end -}}
