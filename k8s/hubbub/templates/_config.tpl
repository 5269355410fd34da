{{/* What the node is told: hubbub.toml and the files of its secrets. */}}

{{/* Where things lie in the container. */}}
{{- define "hubbub.configFolder" -}}/etc/hubbub{{- end -}}
{{- define "hubbub.secretsFolder" -}}/run/secrets/hubbub{{- end -}}
{{- define "hubbub.tlsFolder" -}}/run/secrets/hubbub-tls{{- end -}}
{{- define "hubbub.authoritiesFolder" -}}/etc/hubbub-redis-ca{{- end -}}
{{- define "hubbub.dataFolder" -}}/var/lib/hubbub{{- end -}}

{{/* The secrets in use, as a list: the key of the configuration, the file, and the Secret that holds it. */}}
{{- define "hubbub.secrets" -}}
{{- $fullname := include "hubbub.fullname" . -}}
{{- $paths := dict
  "databaseUrl" "database.url"
  "databaseReplicaUrl" "database.replica_url"
  "redisUrl" "redis.url"
  "redisPublishUrls" "redis.publish_urls"
  "redisSentinelPassword" "redis.sentinel_password"
  "tokenSecret" "auth.token_secret"
  "tokenSecretOther" "auth.token_secret_other"
  "traceOtlpHeaders" "trace.otlp_headers"
-}}
{{- $demo := dict -}}
{{- with .Values.demo.postgresql }}{{ if .enabled -}}
{{- $_ := set $demo "databaseUrl" (printf "postgres://hubbub:%s@%s-demo-postgresql:5432/hubbub" (urlquery .password) $fullname) -}}
{{- end }}{{ end -}}
{{- with .Values.demo.redis }}{{ if .enabled -}}
{{- $_ := set $demo "redisUrl" (printf "redis://:%s@%s-demo-redis:6379/0" (urlquery .password) $fullname) -}}
{{- end }}{{ end -}}
{{- range $name, $path := $paths }}
{{- $given := get $.Values.secrets $name }}
{{- $value := $given.value | default (get $demo $name) }}
{{- $file := $path | replace "." "-" | replace "_" "-" }}
{{- if $given.existingSecret }}
- { path: {{ $path }}, file: {{ $file }}, secret: {{ $given.existingSecret | quote }}, key: {{ $given.key | quote }} }
{{- else if $value }}
- { path: {{ $path }}, file: {{ $file }}, secret: {{ $fullname }}-secrets, key: {{ $file }}, value: {{ $value | toJson }} }
{{- end }}
{{- end }}
{{- end -}}

{{/* hubbub.toml. Every form of a value in JSON is also one in TOML. */}}
{{- define "hubbub.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" "0.0.0.0:8443" -}}
{{- $_ := set $config "ops_listen" "0.0.0.0:9443" -}}
{{- $_ := set $config "data_folder" (include "hubbub.dataFolder" .) -}}
{{- $hosts := include "hubbub.hosts" . | fromYamlArray -}}
{{- if and $hosts (not $config.public_url) -}}
{{- $_ := set $config "public_url" (printf "https://%s" (first $hosts)) -}}
{{- end -}}
{{- range list "tls" "database" "redis" "auth" "limits" "trace" -}}
{{- if not (get $config .) }}{{ $_ := set $config . dict }}{{ end -}}
{{- end -}}
{{- $proxied := or (eq .Values.tls.mode "off") .Values.ingress.enabled (and .Values.gateway.enabled (eq .Values.gateway.kind "HTTPRoute")) -}}
{{- $isCounted := or (hasKey $config.limits "connections_per_address") $config.proxy -}}
{{- if and $proxied (not $isCounted) -}}
{{- /* Everybody comes from the addresses of the proxy, which is there too when the nodes have no TLS themselves. */ -}}
{{- $_ := set $config.limits "connections_per_address" 0 -}}
{{- end -}}
{{- $_ := set $config.tls "mode" .Values.tls.mode -}}
{{- if eq .Values.tls.mode "files" -}}
{{- $_ := set $config.tls "cert_file" (printf "%s/tls.crt" (include "hubbub.tlsFolder" .)) -}}
{{- $_ := set $config.tls "key_file" (printf "%s/tls.key" (include "hubbub.tlsFolder" .)) -}}
{{- end -}}
{{- $_ := set $config.database "migrate" (not (include "hubbub.migratesByJob" .)) -}}
{{- if .Values.sqlite.enabled -}}
{{- $_ := set $config.database "url" (printf "sqlite://%s/hubbub.db" (include "hubbub.dataFolder" .)) -}}
{{- end -}}
{{- if .Values.redisAuthorities.existingConfigMap -}}
{{- $_ := set $config.redis "ca_file" (printf "%s/ca.crt" (include "hubbub.authoritiesFolder" .)) -}}
{{- end -}}
{{- if .Values.tokenPublicKey -}}
{{- $_ := set $config.auth "token_public_key_file" (printf "%s/token-public-key.pem" (include "hubbub.configFolder" .)) -}}
{{- end -}}
{{- range include "hubbub.secrets" . | fromYamlArray -}}
{{- $parts := splitList "." .path -}}
{{- $_ := set (get $config (first $parts)) (printf "%s_file" (last $parts)) (printf "%s/%s" (include "hubbub.secretsFolder" $) .file) -}}
{{- end -}}
# Made by the chart from `config` and from what the chart decides.
{{- range $key, $value := $config }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $group, $keys := $config }}
{{- if and (kindIs "map" $keys) $keys }}

[{{ $group }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}
{{ end -}}

{{/* A duration of the configuration in whole seconds, rounded up. */}}
{{- define "hubbub.seconds" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- if hasSuffix "ms" $text -}}{{ div (add $number 999) 1000 }}
{{- else if hasSuffix "h" $text -}}{{ mul $number 3600 }}
{{- else if hasSuffix "m" $text -}}{{ mul $number 60 }}
{{- else -}}{{ $number }}
{{- end -}}
{{- end -}}
