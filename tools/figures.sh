#!/bin/sh
# What the README and the docs show is made here: docs/route.png, the pictures and the film in docs/pictures, and the output below each
# `$ command` of the README's console blocks.
#   tools/figures.sh BUILD
set -eu
build=$1
export LC_ALL=C.UTF-8 COLUMNS=100
"$build/moe-viz" --text 'Little Ida has a red kite on the hill.' --size 1280x720 --at 3:7:5 --shot docs/route.png
"$build/moe-viz" --simulate 48x128x8x512 --size 1280x720 --at 31:5:201 --shot docs/pictures/route-128.png
"$build/moe-viz" --text 'Little Ida has a red kite on the hill. Old Tom wants the red kite.' --size 1280x720 --state 'Stack layer=4 beat=8 token=4 twin=1' \
    --shot docs/pictures/stack-8.png
"$build/moe-viz" --view compare --text 'Little Ida has a red kite on the hill.' --size 1280x720 --no-measure --shot docs/pictures/compare-8.png
if command -v ffmpeg >/dev/null 2>&1; then # under a megabyte, and small enough for a page, large enough to read
    "$build/moe-viz" --text 'Little Ida has a red kite on the hill.' --script docs/pictures/route.txt --size 960x540 --record docs/pictures/route.gif
    ls -l docs/pictures/route.gif | awk '{ print $NF ", " $5 " bytes" }'
else
    echo 'docs/pictures/route.gif stays: ffmpeg was not found'
fi
"$build/moe-viz" --view train --train-steps 300 --aux-at 1@150:0.1 --size 1280x720 --shot docs/pictures/train.png
awk '/^```/ { inside = 0 }
     !inside { print }
     /^```console/ { block = 1; next }
     block && /^\$ / { command = substr($0, 3) " 2>/dev/null"; while ((command | getline line) > 0) { sub(/ +$/, "", line); print line }; close(command); inside = 1; block = 0 }
     /^```/ { block = 0 }' README.md >README.md.part
mv README.md.part README.md
ls -l docs/route.png | awk '{ print $NF ", " $5 " bytes; README.md: console blocks run again" }'
