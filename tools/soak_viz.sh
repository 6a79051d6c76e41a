#!/bin/sh
# Random input for the real window under Xvfb: keys, typed texts, hovering, clicks, drags, the wheel and other sizes, for a time that is
# given, on the shipped model, on a large made-up trace and on two small ones. The program is one with the address sanitizer: whatever it
# writes to its error output, a crash, a leak, memory that keeps growing or a window that does not close is a failure.
# The seed gives the same input again; what was sent is kept beside it. Prints `ok name`, `not ok name` or `SKIP name: why`.
# Usage: soak_viz.sh MOE_VIZ SECONDS [SEED]
set -uf
viz=$(realpath "$1") seconds=$2 seed=${3:-$(date +%s)}
for tool in Xvfb xdotool; do
    command -v $tool >/dev/null 2>&1 || { echo "SKIP soak: $tool was not found (Debian: apt install xvfb xdotool)"; exit 0; }
done
model=data/model.gguf
[ -f $model ] && model=$PWD/$model || model=
kept=$PWD/$(dirname "$1")/soak-$seed
case $1 in /*) kept=$(dirname "$1")/soak-$seed ;; esac
mkdir -p "$kept"
work=$(mktemp -d)
server='' program='' failed=0
trap 'kill $program $server 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
Xvfb -noreset -displayfd 3 -screen 0 2000x1200x24 3>display >/dev/null 2>&1 &
server=$!
for i in $(seq 120); do [ -s display ] && break; sleep 0.5; done
DISPLAY=:$(cat display)
export DISPLAY
unset SDL_VIDEODRIVER WAYLAND_DISPLAY
# freed memory is kept back by the sanitizer: little of it, so that growth of the program's own is seen
export ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=8

not_ok() { echo "not ok $*"; failed=1; }
until_true() { for i in $(seq "$1"); do "$2" && return 0; sleep 0.5; done; return 1; }
gone() { ! kill -0 $program 2>/dev/null; }
resident_kib() { awk '/^VmRSS/ {print $2}' /proc/$program/status 2>/dev/null; }

# One line of input a line, without end: xdotool's commands, or `type` and a text. WINDOW stands for the window.
actions() {
    awk -v seed="$1" '
    function pick(n) { return int(rand() * n) }
    function place() { return "mousemove --window WINDOW " pick(1280) " " pick(720) }
    BEGIN {
        srand(seed)
        keys = "Right Left Up Down shift+Right shift+Left Home End space bracketleft bracketright 0 1 2 3 4 a b c d e f g h i j k l m n o s " \
               "u v w x y z slash question Escape Escape Return Return BackSpace Delete Tab ctrl+plus ctrl+minus ctrl+0 ctrl+a ctrl+u ctrl+v " \
               "plus minus comma period"
        key_count = split(keys, key, " ")
        word_count = split("Mira saw a red kite 3 cats. on hill the Tom ä 数 ❤ 12 + = / : x , 4 7", word, " ")
        while (1) {
            r = pick(100)
            if (r < 42) {
                line = "key --delay 20"
                for (i = pick(6); i >= 0; i--) line = line " " key[1 + pick(key_count)]
                print line
            } else if (r < 52) {
                print "key " substr("tgv", 1 + pick(3), 1)
                text = "type"
                for (i = pick(5); i >= 0; i--) text = text " " word[1 + pick(word_count)]
                print text
                print "key --delay 20 " (pick(4) ? "Return" : "Escape") " Escape"
            } else if (r < 66) print place() " click 1"
            else if (r < 76) print place()
            else if (r < 84) print place() " click --repeat " 1 + pick(8) " --delay 15 " 4 + pick(2)
            else if (r < 92) print place() " mousedown 1 " place() " " place() " mouseup 1"
            else if (r < 94) print "key F11"
            else if (r < 97) print "windowsize WINDOW " 640 + pick(1300) " " 400 + pick(760)
            else if (r < 99) print "key p"
            else print "key r"
            fflush()
        }
    }'
}

# Sends input until $1 seconds are over; a line of memory in `resident` every so often.
send() {
    end=$(($(date +%s) + $1)) count=0
    while [ "$(date +%s)" -lt $end ] && read -r line; do
        gone && return
        printf '%s\n' "$line" >>"$log"
        case $line in
        type\ *) xdotool type --delay 15 "${line#type }" ;;
        *) xdotool $(printf '%s' "$line" | sed "s/WINDOW/$window/g") ;;
        esac 2>>"$log.xdotool"
        count=$((count + 1))
        if [ $((count % 25)) -eq 0 ]; then # of one size, nothing open
            xdotool key --delay 30 Escape Escape Escape Escape Escape windowsize "$window" 1280 720 2>>"$log.xdotool"
            sleep 3
            resident_kib >>resident
            find . -type f \( -name '*.png' -o -name '*.mp4' \) ! -name '*.part.*' -exec rm {} + # one that is being written stays
        fi
    done
}

# Memory settles: after a third of the samples for warming up, the last third holds no more than a tenth above the second, and what the
# sanitizer keeps back.
check_memory() {
    awk -v name="$1" '{kib[NR] = $1} END {
        if (NR < 9) { printf "SKIP %s memory: %d samples are too few to say\n", name, NR; exit }
        n = int(NR / 3)
        for (i = 0; i < n; i++) { last += kib[NR - i]; before += kib[NR - n - i] }
        good = last <= 1.1 * before + 8192 * n
        printf "%s %s memory settles: %.0f MB, then %.0f MB, %d samples\n", good ? "ok" : "not ok", name, before / n / 1000, last / n / 1000, NR
        exit !good
    }' resident || failed=1
}

# soak NAME SECONDS FLAGS...
soak() {
    name=$1 part=$2
    shift 2
    log=$kept/$name.log
    : >resident
    : >"$log"
    "$viz" "$@" >/dev/null 2>errors &
    program=$!
    window=$(timeout 120 xdotool search --sync --onlyvisible --pid $program 2>/dev/null | head -1)
    xdotool windowfocus --sync "$window" 2>/dev/null
    actions "$seed" | send "$part"
    gone && not_ok "$name: the program ended by itself; the last lines of $log were sent to it"
    xdotool key --delay 60 Escape Escape Escape Escape Escape ctrl+q 2>/dev/null
    until_true 240 gone || { not_ok "$name closes with Ctrl+Q"; kill $program; }
    wait $program
    code=$?
    program=''
    cp errors "$kept/$name.errors"
    cp resident "$kept/$name.resident"
    if [ $code -eq 0 ] && [ ! -s errors ]; then echo "ok $name: $(wc -l <"$log") inputs, no error, closed"; else
        not_ok "$name: exit code $code, $(head -c 400 errors) ($kept)"
    fi
    check_memory "$name"
}

echo "seed $seed, $seconds seconds; what was sent: $kept"
if [ -n "$model" ]; then
    soak model $((seconds / 2)) --model "$model" --text 'Mira saw a red kite on the hill. Tom saw the red kite.'
else
    echo 'SKIP model: data/model.gguf is not there (make model)'
fi
soak large $((seconds / 4)) --simulate 61x256x8x512
soak two $((seconds / 4)) --simulate 6x16x2x60 --versus-simulate 6x16x2x40
exit $failed
