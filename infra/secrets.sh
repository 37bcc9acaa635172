#!/bin/sh
# Makes what docker-compose.yml reads from infra/secrets/: random passwords, once. What is there is kept.
#
#   infra/secrets.sh             for one host
#   infra/secrets.sh HOST...     also a certificate authority, a certificate of this host under these names or
#                                addresses, and infra/secrets/worker/ for the other hosts (docs/large-runs.md)
#
# The folder lets nobody but you in; the files in it can be read, since each container runs as another user.
set -eu
folder="${DATAMASK_SECRETS:-$(dirname "$0")/secrets}"
umask 022
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# quietly COMMAND...: what it says is shown only if it fails.
quietly() {
    if ! said="$("$@" 2>&1)"; then
        echo "$said" >&2
        exit 1
    fi
}

# make_way FILE...: remove the empty folders that an engine makes where it looks for files that are not there yet.
make_way() {
    for file in "$@"; do
        if [ -d "$file" ] && ! rmdir "$file" 2>/dev/null; then
            echo "$file: a folder with something in it, expected a file or nothing; move it away" >&2
            exit 1
        fi
    done
}

# keep FILE: standard input into FILE, in one piece, unless there is one.
keep() {
    make_way "$folder/$1"
    if [ -s "$folder/$1" ]; then
        cat >/dev/null
    else
        cat >"$folder/$1.new"
        mv "$folder/$1.new" "$folder/$1"
        echo "made $folder/$1"
    fi
}

# The one password that several files share, for each service.
random | keep redis_password
random | keep s3_secret_key
random | keep flower_password
random | keep grafana_password
random | keep watch_token
redis_password="$(cat "$folder/redis_password")"
s3_secret_key="$(cat "$folder/s3_secret_key")"

# The user of Redis may do everything but change its settings and stop it. Redis keeps only a hash.
keep redis_users <<EOF
user default off
user datamask on #$(printf %s "$redis_password" | sha256sum | cut -d' ' -f1) ~* &* +@all -@admin
EOF
keep broker_url <<EOF
redis://datamask:$redis_password@redis:6379/0
EOF
keep s3_identities <<EOF
{"identities": [{"name": "datamask", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "datamask", "secretKey": "$s3_secret_key"}]}]}
EOF
keep s3_credentials <<EOF
[default]
aws_access_key_id = datamask
aws_secret_access_key = $s3_secret_key
EOF
keep flower_users <<EOF
datamask:$(cat "$folder/flower_password")
EOF

if [ $# -gt 0 ]; then
    worker="$folder/worker"
    mkdir -p "$worker"
    make_way "$folder/ca.key" "$folder/ca.pem" "$folder/tls_key" "$folder/tls_certificate" \
        "$worker/ca" "$worker/s3_credentials" "$worker/broker_url"
    names=""
    for name in "$@"; do
        case "$name" in
        \[*\]) names="$names,IP:$(echo "$name" | tr -d '[]')" ;;
        *:*) names="$names,IP:$name" ;;
        *[!0-9.]*) names="$names,DNS:$name" ;;
        *) names="$names,IP:$name" ;;
        esac
    done
    if [ ! -s "$folder/ca.pem" ]; then
        quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
            -subj "/CN=datamask cluster" -addext "keyUsage=critical,keyCertSign,cRLSign" \
            -keyout "$folder/ca.key" -out "$folder/ca.pem"
        chmod 600 "$folder/ca.key"
        echo "made $folder/ca.pem"
    fi
    # Anew each time, for the names may have changed.
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$folder/tls_key" -out "$folder/tls_request"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names#,}" >"$folder/tls_names"
    quietly openssl x509 -req -in "$folder/tls_request" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" \
        -CAcreateserial -days 825 -extfile "$folder/tls_names" -out "$folder/tls_certificate"
    rm "$folder/tls_request" "$folder/tls_names"
    chmod 644 "$folder/tls_key"
    echo "made $folder/tls_certificate for $*"
    cp "$folder/ca.pem" "$worker/ca"
    cp "$folder/s3_credentials" "$worker/s3_credentials"
    case "$1" in
    [!\[]*:*) host="[$1]" ;;
    *) host="$1" ;;
    esac
    echo "rediss://datamask:$redis_password@$host:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/run/secrets/ca" \
        >"$worker/broker_url"
    echo "made $worker: copy it to infra/secrets/ of each other host, by a way that you trust"
fi
