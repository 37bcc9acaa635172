#!/bin/sh
# Starts a service once each of its secrets is a file with something in it: guard.sh FOLDER COMMAND...
#
# Where a compose file names a file that is not there, some engines put an empty folder in its place and go on.
# Redis takes a folder, or an empty file, for a list without users, and then lets everybody in with all rights;
# Grafana takes a password that everybody knows.
set -eu
refuse() {
    echo "secret $secret: $1; give 'docker compose down', mend it ('make secrets' makes what is missing), start anew" >&2
    exit 1
}
for secret in "$1"/*; do
    [ -e "$secret" ] || refuse "there is none"
    [ ! -d "$secret" ] || refuse "a folder, expected a file"
    [ -r "$secret" ] || refuse "user $(id -u) cannot read it"
    [ -s "$secret" ] || refuse "an empty file"
    case "$secret" in
    */redis_users) grep -q '^user default off' "$secret" || refuse "it lets in whoever has no password" ;;
    esac
done
shift
exec "$@"
