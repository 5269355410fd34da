#!/bin/sh
# Makes the first user, signs on as that user through the balancer, and prints how to do the same.
#
# Runs at every `docker compose up`, when every node and the balancer are healthy.
set -eu
secrets=/run/hubbub/node user=ada room=lobby
password=$(cat "$secrets/login_password")

if ! hubbub user list --json | grep -q "\"$user\""; then
    echo "$password" | hubbub user add "$user" --password-stdin >/dev/null
fi

# Nothing is sent: the command signs on, makes the room when it is missing, joins it and ends.
if HUBBUB_PASSWORD=$password hubbub chat --url wss://balancer:8443 --ca "$secrets/cert.pem" --user "$user" \
    --create --room "$room" </dev/null >/dev/null; then
    login="$user, password $password"
else
    login="$user, with a password that was changed (\`docker compose exec node1 hubbub user password $user\` sets another)"
fi

cat <<END

Hubbub is up: three nodes behind one balancer.
  login    $login
  talk     docker compose exec node1 hubbub chat --url wss://balancer:8443 --ca $secrets/cert.pem --user $user --room $room
           hubbub chat --url wss://$PUBLIC_HOST:$BALANCER_PORT --insecure --user $user --room $room
  metrics  http://localhost:$PROMETHEUS_PORT/
  graphs   http://localhost:$GRAFANA_PORT/  admin, password $(cat "$secrets/grafana_password")

END
