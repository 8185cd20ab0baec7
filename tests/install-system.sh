#!/bin/sh
# Installs the system packages that are missing, and nothing that is there already.
#   install-system.sh python              a Python with venv
#   install-system.sh tests               Chromium, PostgreSQL with PostGIS, fonts, GStreamer with OpenH264
#   install-system.sh tests --simulate    as on a machine on which nothing is installed: what apt would do
set -eu

simulate=""
[ "${2:-}" != --simulate ] || simulate=yes

have() { [ -z "$simulate" ] && command -v "$1" >/dev/null 2>&1; }
there() { [ -z "$simulate" ] && ls "$@" >/dev/null 2>&1; }

missing=""
case "${1:-tests}" in
python)
    have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || missing="python3 python3-venv"
    ;;
tests)
    have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
    there /usr/share/postgresql/*/extension/postgis.control || missing="$missing postgresql postgresql-postgis"
    there /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf || missing="$missing fonts-dejavu-core"
    have gst-launch-1.0 || missing="$missing gstreamer1.0-tools"
    there /usr/lib/*/gstreamer-1.0/libgstisomp4.so || missing="$missing gstreamer1.0-plugins-good"
    there /usr/lib/*/gstreamer-1.0/libgstopenh264.so || missing="$missing gstreamer1.0-plugins-bad"
    there /usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib ||
        missing="$missing gir1.2-gst-rtsp-server-1.0 python3-gi"
    ;;
esac
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-system: please install these by hand: $missing" >&2
    exit 1
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
[ -n "$simulate" ] || $sudo apt-get update -qq
# The PostGIS package carries the server's major version in its name.
if echo "$missing" | grep -q postgresql-postgis; then
    postgis=$(apt-cache search --names-only '^postgresql-[0-9]+-postgis-3$' | sort -V | tail -n 1 | cut -d' ' -f1)
    missing=$(echo "$missing" | sed "s/postgresql-postgis/$postgis/")
fi
if [ -n "$simulate" ]; then
    echo "$missing"
    apt-get install --simulate -qq --no-install-recommends -o Dir::State::status=/dev/null $missing
    exit
fi
echo "install-system: installing $missing" >&2
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
