#!/bin/sh
# The window on a text; without a display a picture, and with ffmpeg a film; without SDL2 and cairo the terminal.
#   tools/run.sh BUILD TEXT
set -u
build=$1 text=$2
if [ ! -x "$build/moe-viz" ]; then
    echo "no window was built (SDL2 or cairo is missing): the same in the terminal"
    exec "$build/moe" route --text "$text"
fi
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then exec "$build/moe-viz" --text "$text"; fi
film=
if command -v ffmpeg >/dev/null 2>&1; then film=" and a film, $build/route.mp4"; fi
echo "no display (DISPLAY and WAYLAND_DISPLAY are empty), so no window: drawing a picture, $build/route.png$film"
"$build/moe-viz" --text "$text" --shot "$build/route.png" || exit 1
if [ -n "$film" ]; then "$build/moe-viz" --text "$text" --record "$build/route.mp4" || exit 1; fi
ls -l "$build"/route.png "$build"/route.mp4 2>/dev/null | awk '{print "  " $NF ", " $5 " bytes"}'
