#!/bin/sh
# Installs the system packages that are missing, and nothing that is there already.
#   install-system.sh python   a Python with venv
#   install-system.sh tests    Chromium, PostgreSQL with PostGIS, fonts
set -eu

have() { command -v "$1" >/dev/null 2>&1; }

missing=""
case "${1:-tests}" in
python)
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing="python3 python3-venv"
    ;;
tests)
    have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
    ls /usr/share/postgresql/*/extension/postgis.control >/dev/null 2>&1 || missing="$missing postgresql postgresql-postgis"
    ls /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf >/dev/null 2>&1 || missing="$missing fonts-dejavu-core"
    ;;
esac
[ -n "$missing" ] || exit 0

if ! have apt-get; then
    echo "install-system: please install these by hand: $missing" >&2
    exit 1
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
echo "install-system: installing $missing" >&2
$sudo apt-get update -qq
# The PostGIS package carries the server's major version in its name.
if echo "$missing" | grep -q postgresql-postgis; then
    postgis=$(apt-cache search --names-only '^postgresql-[0-9]+-postgis-3$' | sort -V | tail -n 1 | cut -d' ' -f1)
    missing=$(echo "$missing" | sed "s/postgresql-postgis/$postgis/")
fi
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
