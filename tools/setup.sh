#!/bin/sh
# Installs what is missing to build, test and run. Nothing is asked of the network when nothing is missing.
set -u

# Nothing else builds without the first list; the window, films and tests need the second.
needed='gcc libc6-dev make libutf8proc-dev'
wanted='pkg-config patch libcjson-dev libcmocka-dev libsdl2-dev libcairo2-dev fonts-dejavu-core ffmpeg'

missing() {
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
    done
}

if command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # lists are words
    lacking=$(missing $needed $wanted)
    if [ -z "$lacking" ]; then
        echo 'setup: nothing is missing'
        exit 0
    fi
    root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || { echo "setup: as root, run: apt-get install $lacking"; exit 1; }
        root=sudo
    fi
    echo "setup: ${root:+sudo }apt-get install $lacking"
    # shellcheck disable=SC2086
    $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null && exit 0
    echo "setup: apt-get failed; 'make' builds what it can with what is there (needed: $needed)"
    exit 1
fi

if [ -r /etc/fedora-release ]; then echo 'setup: sudo dnf install gcc make pkgconf utf8proc-devel cjson-devel libcmocka-devel SDL2-devel cairo-devel dejavu-sans-fonts ffmpeg-free patch'
elif [ -r /etc/arch-release ]; then echo 'setup: sudo pacman -S --needed gcc make pkgconf libutf8proc cjson cmocka sdl2 cairo ttf-dejavu ffmpeg patch'
elif [ "$(uname)" = Darwin ]; then echo 'setup: brew install utf8proc cjson cmocka sdl2 cairo pkg-config libomp ffmpeg'
else echo 'setup: install a C compiler, make, pkg-config, and the development files of utf8proc, cJSON, cmocka, SDL2 and cairo; ffmpeg for films'; fi
echo "setup: this machine's packages are not installed for you; run the line above, then 'make'"
command -v "${CC:-cc}" >/dev/null 2>&1 # without a compiler what follows cannot work
