#!/bin/sh
# Makes what has to be secret and the certificate, once, in the volume that is mounted at /run/hubbub, and gives each
# reader a folder of its own. Runs at every `docker compose up`: what is there stays, what is missing is made.
#
# Never prints a secret; never changes one that a server may have taken already.
set -eu
umask 077
root=/run/hubbub
node=65532:65532 postgres=999:999 redis=999:999 grafana=472:472

refuse() {
    echo "secrets: $1" >&2
    exit 78
}

# The name that clients use: it stands in the certificate.
host=${PUBLIC_HOST:-}
case $host in
'') refuse "PUBLIC_HOST is empty: it is the name or the IPv4 address by which clients reach this machine" ;;
*[!a-zA-Z0-9.-]* | .* | -*) refuse "PUBLIC_HOST=$host is neither a name nor an IPv4 address" ;;
*[!0-9.]*) host_entry="DNS:$host" host_check=-checkhost ;;
*) host_entry="IP:$host" host_check=-checkip ;;
esac
command -v openssl >/dev/null || refuse "this image has no openssl"

# The value of a secret, made when it is missing: 256 random bits in hexadecimal, which may stand in any URL.
seed() {
    if [ ! -s "$root/seed/$1" ]; then
        openssl rand -hex 32 >"$root/seed/.new"
        mv "$root/seed/.new" "$root/seed/$1"
    fi
    cat "$root/seed/$1"
}

# Writes stdin to a file that only its reader opens, in one step: a reader sees the old one or the new one.
give() {
    cat >"$root/$2.new"
    chmod 0400 "$root/$2.new"
    chown "$1" "$root/$2.new"
    mv -f "$root/$2.new" "$root/$2"
}

chmod 0755 "$root"
mkdir -p "$root/seed" "$root/node" "$root/postgres" "$root/redis" "$root/grafana"
chmod 0755 "$root/node" "$root/postgres" "$root/redis" "$root/grafana"

# One by one, and into variables: in a pipe or two to a line, the failure of one would go unseen.
token=$(seed token_secret)
database=$(seed database_password)
cache=$(seed redis_password)
# People type these two.
login=$(seed login_password | cut -c 1-16)
graphs=$(seed grafana_password | cut -c 1-16)

echo "$token" | give $node node/token_secret
echo "postgres://hubbub:$database@postgres:5432/hubbub" | give $node node/database_url
echo "redis://:$cache@redis:6379" | give $node node/redis_url
echo "$login" | give $node node/login_password
echo "$graphs" | give $node node/grafana_password
echo "$graphs" | give $grafana grafana/password
echo "$database" | give $postgres postgres/password
echo "$cache" | give $redis redis/password
echo "requirepass $cache" | give $redis redis/redis.conf

# A certificate for a year, made anew in its last month or for another name. Nodes read it again when it changes.
if ! openssl x509 -in "$root/seed/cert.pem" -noout -checkend 2592000 >/dev/null 2>&1 ||
    ! openssl x509 -in "$root/seed/cert.pem" -noout "$host_check" "$host" 2>/dev/null | grep -q 'does match'; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -config /dev/stdin \
        -keyout "$root/seed/key.new" -out "$root/seed/cert.new" 2>/dev/null <<END
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
CN = Hubbub compose
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, DNS:balancer, IP:127.0.0.1, $host_entry
END
    mv "$root/seed/key.new" "$root/seed/key.pem"
    mv "$root/seed/cert.new" "$root/seed/cert.pem"
fi
give $node node/key.pem <"$root/seed/key.pem"
give $node node/cert.pem <"$root/seed/cert.pem"
echo "secrets: all there; the certificate is for $host"
