#!/bin/sh
# Sets up everything SegMix needs to run from a checkout: a virtual environment,
# Python packages at tested versions, and the system libraries of Qt and OpenGL.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="python3-venv xvfb xauth libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 \
libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 \
libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xkb1"
NEWS_SECONDS=${NEWS_SECONDS:-10}

say() { printf '%s\n' "setup: $*"; }

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_packages() {
    [ -n "$PYTHON" ] || printf 'python3 '
    for name in $PACKAGES; do
        # A Python from elsewhere brings its own venv module.
        if [ "$name" = python3-venv ] && [ -n "$PYTHON" ] && "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
            continue
        fi
        # Debian 13 and Ubuntu 24.04 renamed libglib2.0-0 to libglib2.0-0t64.
        is_installed "$name" || is_installed "${name}t64" || printf '%s ' "$name"
    done
}

install_system_packages() {
    command -v dpkg-query >/dev/null 2>&1 || return 0
    missing=$(missing_packages)
    missing=${missing% }
    if [ -z "$missing" ]; then
        say "step 2 of 4: no system packages are missing"
        return 0
    fi
    install="apt-get install -y --no-install-recommends $missing"
    root=""
    [ "$(id -u)" = 0 ] || root="sudo -n"
    if [ -z "$root" ] || $root true 2>/dev/null; then
        say "step 2 of 4: installing system packages (about a minute): $missing"
        $root apt-get update -qq
        # shellcheck disable=SC2086
        $root env DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
        return 0
    fi
    say "System packages are missing. Type this line, then try again:"
    if command -v sudo >/dev/null 2>&1; then
        printf '%s\n' "sudo apt-get update && sudo $install"
    else
        printf '%s\n' "su -c 'apt-get update && $install'"
    fi
    exit 1
}

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$name"
            return 0
        fi
    done
}

install_python_packages() {
    # One call: torch and torchvision must be chosen together.
    set -- .venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[all,dev]"
    if [ -t 1 ]; then
        "$@"
        return
    fi
    # Without a terminal pip shows no progress: name the large files, then count.
    notes=$(mktemp -d)
    trap 'rm -rf "$notes"' EXIT
    count_while_unpacking &
    counter=$!
    { PYTHONUNBUFFERED=1 "$@" || : >"$notes/failed"; } | name_downloads
    kill "$counter"
    [ ! -e "$notes/failed" ]
}

# Keeps of the output of pip what a person waits for: files of 1 MB and more.
name_downloads() {
    while IFS= read -r line; do
        case $line in
        *.metadata*) ;;
        *"Downloading "*" MB)" | *"Downloading "*" GB)")
            file=${line##*Downloading }
            size=${file##*(}
            file=${file% (*}
            file=${file##*/}
            rest=${file#*-}
            say "    downloading ${file%%-*} ${rest%%-*} (${size%)})"
            ;;
        "Building wheel"*": started")
            say "    building ${line#Building wheel for }"
            ;;
        "Installing collected packages: "*)
            # One word a package.
            # shellcheck disable=SC2086
            set -- ${line#*: }
            say "    unpacking $# packages"
            : >"$notes/unpacking"
            ;;
        esac
    done
}

count_while_unpacking() {
    # It ends with this script, whichever way that ends.
    while kill -0 $$ 2>/dev/null; do
        sleep "$NEWS_SECONDS" >/dev/null 2>&1
        if [ -e "$notes/unpacking" ]; then
            count=$(find .venv/lib -maxdepth 3 -name '*.dist-info' | wc -l)
            say "    $((count)) packages are in .venv"
        fi
    done
}

stamp=.venv/segmix-setup
wanted=$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

PYTHON=$(find_python)
if [ -n "$PYTHON" ]; then
    say "step 1 of 4: $("$PYTHON" --version) ($(command -v "$PYTHON"))"
fi
install_system_packages
[ -n "$PYTHON" ] || PYTHON=$(find_python)
if [ -z "$PYTHON" ]; then
    say "Python 3.11 or newer is missing. Install it, or name it: PYTHON=/path/to/python3 make demo" >&2
    exit 1
fi
if [ ! -x .venv/bin/python ]; then
    say "step 3 of 4: making the virtual environment .venv"
    "$PYTHON" -m venv .venv
fi
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    say "The virtual environment .venv has no pip. Type this line, then try again:" >&2
    printf '%s\n' "rm -r '$(pwd)/.venv'" >&2
    exit 1
fi
say "step 4 of 4: installing Python packages into .venv (the first time 3 GB to download, 7 GB on disk, some minutes)"
begun=$(date +%s)
install_python_packages
.venv/bin/python -m pip check
printf '%s' "$wanted" >"$stamp"
say "done after $(($(date +%s) - begun)) s"
