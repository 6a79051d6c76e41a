#!/bin/sh
# The window on a text. Where none opens, moe-viz says so and draws a picture, and with ffmpeg a film; without SDL2 and cairo: the terminal.
#   tools/run.sh BUILD TEXT
set -u
build=$1 text=$2
if [ ! -x "$build/moe-viz" ]; then
    echo "no window was built (SDL2 or cairo is missing): the same in the terminal"
    exec "$build/moe" route --text "$text"
fi
exec "$build/moe-viz" --text "$text" --fallback "$build/route"
