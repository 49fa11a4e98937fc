#!/bin/sh
# Sets up everything SegMix needs to run from a checkout: a virtual environment,
# Python packages at tested versions, and the system libraries of Qt and OpenGL.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="python3-venv xvfb xauth libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 \
libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 \
libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xkb1"

say() { printf '%s\n' "setup: $*"; }

missing_packages() {
    for name in $PACKAGES; do
        # Ubuntu 24.04 renamed libglib2.0-0 to libglib2.0-0t64.
        dpkg -s "$name" >/dev/null 2>&1 || dpkg -s "${name}t64" >/dev/null 2>&1 || printf '%s ' "$name"
    done
}

install_system_packages() {
    command -v dpkg >/dev/null 2>&1 || return 0
    missing=$(missing_packages)
    # A Python from elsewhere brings its own venv module.
    if "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        missing=$(printf '%s' "$missing" | sed 's/python3-venv //')
    fi
    [ -n "$missing" ] || return 0
    root=""
    [ "$(id -u)" = 0 ] || root="sudo -n"
    line="apt-get install -y --no-install-recommends $missing"
    if [ -z "$root" ] || $root true 2>/dev/null; then
        say "installing system libraries: $missing"
        $root apt-get update -qq
        # shellcheck disable=SC2086
        $root env DEBIAN_FRONTEND=noninteractive $line >/dev/null
    else
        say "system libraries are missing and may not be installed from here; run this line, then try again:"
        say "  sudo $line"
        exit 1
    fi
}

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$name"
            return 0
        fi
    done
    say "Expected Python 3.11 or newer, but found none. Install it, or name it: PYTHON=/path/to/python make ..." >&2
    return 1
}

PYTHON=$(find_python)
install_system_packages
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv

stamp=.venv/segmix-setup
wanted=$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
say "installing Python packages into .venv (several GB at the first time; some minutes)"
# One call: torch and torchvision must be chosen together.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all,dev]"
.venv/bin/python -m pip check
printf '%s' "$wanted" >"$stamp"
