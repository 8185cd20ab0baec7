#!/bin/sh
# Installs flycam from this folder, without a network:   sh install.sh [FOLDER]
# PYTHON=/path/to/python chooses the Python. Nothing outside FOLDER is written.
set -eu
unset PYTHONPATH PYTHONHOME

here=$(cd "$(dirname "$0")" && pwd)
target=${1:-"$HOME/flycam"}
python=${PYTHON:-python@PYTHON@}
language=en
case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in vi*) language=vi ;; esac

say() { if [ "$language" = vi ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi; }
fail() {
    say "$1" "$2" >&2
    exit 3
}

command -v "$python" >/dev/null 2>&1 || fail \
    "$python: is not on this machine; these wheels are for Python @PYTHON@: install it, or set PYTHON to where it is" \
    "$python: máy này chưa có; bộ cài này dành cho Python @PYTHON@: hãy cài, hoặc đặt PYTHON chỉ đến nó"
found=$("$python" -c 'import sys, sysconfig; print("%d.%d" % sys.version_info[:2], sysconfig.get_platform())')
[ "$found" = "@PYTHON@ @PLATFORM@" ] || fail \
    "$python: is $found; these wheels are for @PYTHON@ @PLATFORM@: write a stick on a machine of this kind" \
    "$python: là $found; bộ cài này dành cho @PYTHON@ @PLATFORM@: hãy ghi USB từ một máy cùng loại"
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail \
    "$python: has no venv; install the system's package python3-venv" \
    "$python: thiếu venv; hãy cài gói python3-venv của hệ điều hành"
"$python" -I "$here/check.py" "$here" "$language"
if [ -e "$target" ] && [ ! -f "$target/pyvenv.cfg" ] && [ -n "$(ls -A "$target")" ]; then
    fail "$target: holds something else; give an empty folder: sh install.sh FOLDER" \
        "$target: đang chứa thứ khác; hãy chọn thư mục trống: sh install.sh THƯ_MỤC"
fi

"$python" -m venv "$target"
PIP_CONFIG_FILE=/dev/null "$target/bin/python" -m pip install --isolated --quiet --disable-pip-version-check \
    --no-index --find-links "$here/wheels" --only-binary :all: --require-hashes \
    -r "$here/run.lock" -r "$here/flycam.lock"

say "flycam @VERSION@ is installed in $target. Next:" "Đã cài flycam @VERSION@ vào $target. Tiếp theo:"
cat <<NEXT
    "$target/bin/flycam" doctor
    "$target/bin/flycam" dem add DEM.tif
    "$target/bin/flycam" communes add COMMUNES.gpkg
    "$target/bin/flycam" ingest CARD
    "$target/bin/flycam" serve --tls --host 0.0.0.0      # prints the set-up code
NEXT
