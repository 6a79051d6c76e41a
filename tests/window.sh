#!/bin/sh
# The real window under Xvfb, driven by xdotool: every documented key, a typed prompt, the mouse, a picture and a film made from it.
# What the window believes is read from the line of state that it prints when it closes. Prints `ok name`, `not ok name` or `SKIP name: why`.
set -u
viz=${BUILD:-build}/moe-viz
moe=${MOE:-build/moe}
for tool in Xvfb xdotool; do
    command -v $tool >/dev/null 2>&1 || { echo "SKIP window: $tool was not found (Debian: apt install xvfb xdotool)"; exit 0; }
done
[ -x "$viz" ] || { echo "SKIP window: $viz was not built (SDL2 or cairo was not found)"; exit 0; }
case ${BUILD:-build} in
*sanitize* | *threads*) # a window that is many times slower than the keys that are sent to it says nothing about either
    echo 'SKIP window: keys are timed for a build without sanitizers, where this test runs'
    exit 0 ;;
esac
viz=$(realpath "$viz") moe=$(realpath "$moe") model=
[ -f data/model.gguf ] && model=$PWD/data/model.gguf
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
# -noreset: without it the server starts afresh whenever its last client leaves, and whoever connects at that moment loses the display or a window.
Xvfb -noreset -displayfd 3 -screen 0 4000x2300x24 3>display >/dev/null 2>&1 &
server=$!
for i in $(seq 120); do [ -s display ] && break; sleep 0.5; done # a busy machine starts it slowly
DISPLAY=:$(cat display)
export DISPLAY
unset SDL_VIDEODRIVER WAYLAND_DISPLAY

# start FLAGS...: opens the window and waits until it is there
start() {
    rm -f route-*.png route-*.mp4 stack-*.png compare-*.png train-*.png
    "$viz" --print-state "$@" >state 2>errors &
    program=$!
    window=$(timeout 60 xdotool search --sync --onlyvisible --pid $program 2>/dev/null | head -1)
    xdotool windowfocus --sync "$window" 2>/dev/null
    xdotool mousemove 0 0 # outside: what lies under the pointer has a tooltip, also in the picture that P saves
    sleep 0.5
}
keys() { xdotool key --delay 60 "$@"; sleep 0.3; }
# waits up to 30 s until a command succeeds
until_true() { for i in $(seq 60); do "$@" >/dev/null 2>&1 && return 0; sleep 0.5; done; return 1; }
gone() { ! kill -0 $program 2>/dev/null; }
quit() { # closes the window; the state line is in `state`
    keys ctrl+q
    until_true gone || { kill $program; echo "not ok the window closes with Ctrl+Q"; }
    wait $program
}
# state NAME 'key=value': what the closed window said
state() { if grep -q -e "$2" state; then echo "ok $1"; else echo "not ok $1: expected $2 in: $(cat state errors)"; fi; }

scene1() {
    start --simulate 4x8x2x12 --paused
    keys Right Right
    sleep 1.5 # a step plays its beat
    quit
}
scene1
state 'right steps a beat' 'layer=1 beat=3 '

scene2() {
    start --simulate 4x8x2x12 --paused
    keys shift+Right shift+Right Down Down Down Up bracketright h m n
    quit
}
scene2
state 'shift and right steps a layer' 'layer=3 '
state 'down and up step a token' 'token=2 '
state '] makes it faster' 'speed=2 '
state 'H changes the palette' 'palette=violet-green '
state 'M reduces motion' 'motion=reduced '
state 'N hides the narration' 'narration=off '

scene3() {
    start --simulate 4x8x2x12 --paused
    keys End ctrl+plus
    quit
}
scene3
state 'End goes to the last layer' 'layer=4 '
if grep -q 'scale=1 ' state; then echo "not ok Ctrl and + enlarge: $(cat state)"; else echo "ok Ctrl and + enlarge"; fi

scene4() {
    start --simulate 4x8x2x12 --paused
    keys End Home g 3 Return slash
    xdotool type --delay 40 sends
    keys Return 1 question question Escape F11 F11
    quit
}
scene4
state 'G goes to a layer' 'layer=3 '
state '/ finds a token' 'token=2 '

scene5() {
    start --simulate 4x8x2x12
    keys Left space space space
    sleep 2
    quit
}
scene5
if grep -q 'time=0 ' state; then echo "not ok space plays: $(cat state)"; else echo "ok space plays"; fi

# the tour: by key, by mouse, and out again
scene_tour1() {
    start --simulate 4x8x2x12 --paused
    keys 0 Return Right Return BackSpace Left Return # steps 2 3 4, back 3 2, on 3
    quit
}
scene_tour1
state '0 begins the tour, Enter and right go on, Backspace and left back' 'layer=2 beat=2 .*tour=intro:3'

scene_tour2() {
    start --simulate 4x8x2x12 --tour 4
    keys Right Right Right # three steps: it is over
    quit
}
scene_tour2
state '--tour 4 opens the tour of lesson 04, and behind its last step it is over' 'layer=2 beat=[67] '
if grep -q 'tour=' state; then echo "not ok a tour ends: $(cat state)"; else echo 'ok a tour ends'; fi

scene_tour3() {
    start --simulate 4x8x2x12 --paused
    keys ctrl+plus ctrl+0 0 Right Escape 0 # Ctrl and 0 is the size, 0 alone the tour
    quit
}
scene_tour3
state 'Ctrl and 0 resets the size' 'scale=1 '
state 'Esc leaves the tour, 0 begins it anew' 'tour=intro:1'

scene_tour4() {
    start --simulate 4x8x2x12 --paused
    eval "$(xdotool getwindowgeometry --shell "$window" | grep -E '^[XY]=')"
    xdotool mousemove $((X + 827)) $((Y + 23)) click 1 # the tab before the views
    sleep 0.5
    keys Return
    quit
}
scene_tour4
state 'a click on its tab begins the tour' 'tour=intro:2'

# a script drives the window as it drives no window: the same picture, the same film, and it closes
if command -v ffmpeg >/dev/null 2>&1; then film='record start in.gif'; else film=; fi
printf '%s\n' tour 'key Enter' 'wait 900' 'click tour next' 'wait 500' "$film" 'wait 400' 'shot in.png' quit >script.txt
timeout 120 "$viz" --simulate 4x8x2x12 --script script.txt --window --print-state >state 2>errors
code=$?
sed 's/in\./out./' script.txt >again.txt
"$viz" --simulate 4x8x2x12 --script again.txt --print-state >out.state 2>>errors
if [ $code -eq 0 ] && cmp -s in.png out.png && cmp -s state out.state; then echo 'ok a script in the window ends as one without it'; else
    echo "not ok a script in the window ends as one without it: exit code $code, $(cat state out.state errors)"
fi
[ -z "$film" ] || if cmp -s in.gif out.gif; then echo 'ok a script films the same in the window'; else echo "not ok a script films the same in the window: $(ls -l) $(cat errors)"; fi
printf 'wait 100\nclick wombat\n' >script.txt
timeout 120 "$viz" --simulate 4x8x2x12 --script script.txt --window >/dev/null 2>errors
code=$?
if [ $code -eq 1 ] && grep -q '^moe-viz: script.txt:2: click: ' errors; then echo 'ok a wrong line closes the window and is said'; else
    echo "not ok a wrong line closes the window and is said: exit code $code, $(cat errors)"
fi

# the mouse: the timeline's middle is the run's middle; a click on a chip follows that token
scene6() {
    start --simulate 4x8x2x12 --paused
    eval "$(xdotool getwindowgeometry --shell "$window" | grep -E '^[XY]=')"
    xdotool mousemove $((X + 560)) $((Y + 684)) click 1
    sleep 0.5
    xdotool mousemove $((X + 238)) $((Y + 90)) click 1
    sleep 0.5
    quit
}
scene6
state 'a click on the timeline goes there' 'layer=[23] '
state 'a click on a chip follows its token' 'token=3 '

# the picture that P saves is the picture of the state that the window had
scene7() {
    start --simulate 4x8x2x12 --paused --at 2:4:5
    keys p
    until_true test -s route-1.png
    keys r
    until_true test -s route-1.mp4 || until_true test -s route-1.mp4 # a film takes long on a busy machine
    quit
}
scene7
"$viz" --simulate 4x8x2x12 --state "$(cat state)" --shot again.png 2>>errors
if cmp -s route-1.png again.png; then echo 'ok P saves what --state and --shot draw'; else echo "not ok P saves what --state and --shot draw: $(cat errors)"; fi
if command -v ffmpeg >/dev/null 2>&1; then
    if [ -s route-1.mp4 ]; then echo 'ok R records a film'; else echo "not ok R records a film: $(ls)"; fi
else
    echo 'SKIP R records a film: ffmpeg was not found'
fi

# a prompt typed into the window runs on the shipped model, and the picture shows the numbers of moe route
if [ -n "$model" ]; then
    scene8() {
        start --model "$model" --text 'Tom had a red kite.' --paused
        keys t Left ctrl+a
        xdotool type --delay 30 'Mira saw 3 cats.'
        keys Return
        sleep 2
        keys End p
        until_true test -s route-1.png
        quit
    }
    scene8
    "$moe" route --model "$model" --text 'Mira saw 3 cats.' --trace typed.gguf >/dev/null
    "$viz" --trace typed.gguf --state "$(cat state)" --shot typed.png 2>>errors
    if cmp -s route-1.png typed.png; then echo 'ok a typed prompt shows what moe route says'; else echo "not ok a typed prompt shows what moe route says: $(cat state errors)"; fi
else
    echo 'SKIP a typed prompt: data/model.gguf is not there (make model)'
fi

# the second view: its keys, the mouse on its rows, and the picture that P saves of it
scene9() {
    start --simulate 4x8x2x60 --versus-simulate 4x8x2x40 --paused
    keys 1 2 slash
    xdotool type --delay 40 and
    keys Return shift+Right shift+Right w d p
    until_true test -s stack-1.png
    quit
}
scene9
state '2 shows the stack' '^Stack '
state 'shift and right steps a layer of the stack' 'layer=3 '
state '/ finds a token of the stack' 'token=9 '
state 'W takes the next place of the word' 'twin=2 '
state 'D shows the load of two texts' 'difference=off'
"$viz" --simulate 4x8x2x60 --versus-simulate 4x8x2x40 --state "$(cat state)" --shot again.png 2>>errors
if cmp -s stack-1.png again.png; then echo 'ok the stack that P saves is what --state and --shot draw'; else
    echo "not ok the stack that P saves is what --state and --shot draw: $(cat errors)"
fi

scene10() {
    start --simulate 4x8x2x12 --paused
    keys 2 End Up Down Down Left
    eval "$(xdotool getwindowgeometry --shell "$window" | grep -E '^[XY]=')"
    xdotool mousemove $((X + 560)) $((Y + 684)) click 1
    sleep 0.5
    quit
}
scene10
state 'down steps a token of the stack' '^Stack .* token=2 '
state 'the timeline scrubs the stack' 'layer=[23] '

if [ -n "$model" ]; then
    scene11() {
        start --model "$model" --text 'Mira saw a red kite.' --paused
        keys v
        xdotool type --delay 30 'Tom had a red boat.'
        keys Return
        sleep 5
        keys End
        quit
    }
    scene11
    state 'V compares with a second text' '^Stack .*twin=1 difference=on'
else
    echo 'SKIP V compares with a second text: data/model.gguf is not there (make model)'
fi

# the view that races models: 4 opens it, arrows step it, D changes the race, what P saves is what --state and --shot draw, S measures again
race="--model $model --no-measure"
counted() { rm -f compare-*.png; keys p; until_true test -s compare-1.png; cmp -s compare-1.png counted.png; }
if [ -n "$model" ]; then
    "$viz" $race --text 'A red kite.' --view compare --at 0 --shot counted.png
    scene12() {
        start $race --text 'A red kite.' --at 0
        keys 4
        until_true counted && echo 'ok 4 shows what --view compare draws' || echo "not ok 4 shows what --view compare draws: $(cat errors)"
        rm -f compare-*.png
        keys shift+Right Down d End p
        until_true test -s compare-1.png
        quit
    }
    scene12
    state '4 shows the comparison' '^Compare '
    state 'D races all tokens at once' 'race=all'
    state 'End goes to the end of the race' 'time=12000 '
    state 'down follows another token of the race' 'token=1 '
    "$viz" $race --text 'A red kite.' --state "$(cat state)" --shot again.png 2>>errors
    if cmp -s compare-1.png again.png; then echo 'ok the comparison that P saves is what --state and --shot draw'; else
        echo "not ok the comparison that P saves is what --state and --shot draw: $(cat errors)"
    fi

    scene13() {
        start $race --text 'A red kite.' --at 0
        keys 4
        until_true counted
        keys Right Right Right Left
        quit
        cp state two
        start $race --text 'A red kite.' --at 0
        keys 4
        until_true counted
        keys shift+Right
        quit
    }
    scene13
    "$viz" $race --text 'A red kite.' --state "$(cat two)" --dump-scene >dump 2>>errors
    if grep -q '^lane sparse .* done 2 of 4' dump; then echo 'ok right and left step a token of the race'; else
        echo "not ok right and left step a token of the race: $(grep '^lane sparse' dump) $(cat two)"
    fi
    "$viz" $race --text 'A red kite.' --state "$(cat state)" --dump-scene >dump 2>>errors
    if grep -q '^lane dense-active .* done 4 of 4' dump; then echo 'ok shift and right go to the first lane that is through'; else
        echo "not ok shift and right go to the first lane that is through: $(grep '^lane' dump)"
    fi

    scene15() {
        start $race --text 'A red kite.' --at 0
        keys 4
        until_true counted
        keys End Home space
        sleep 2
        keys space
        quit
        cp state two
        start $race --text 'A red kite.' --at 0
        keys 4
        until_true counted
        eval "$(xdotool getwindowgeometry --shell "$window" | grep -E '^[XY]=')"
        xdotool mousemove $((X + 206)) $((Y + 295)) # expert 3 of layer 2
        sleep 0.5
        keys Return
        quit
    }
    scene15
    if grep -q -e ' time=0 ' -e ' time=12000 ' two; then echo "not ok Home goes back and space races: $(cat two)"; else echo 'ok Home goes back and space races'; fi
    state 'Enter shows an expert of the comparison in the Route view' '^Route layer=2 '

    # measured: two pictures agree once all runs are done; after S they differ
    agree() { rm -f compare-*.png; keys p; sleep 1; keys p; until_true test -s compare-2.png; sleep 1; cmp -s compare-1.png compare-2.png; }
    scene14() {
        start --model "$model" --text 'A red kite.' --at 0
        keys 4
        sleep 2
        until_true agree || echo 'not ok a measurement ends'
        cp compare-1.png before.png
        keys s
        sleep 1
        rm -f compare-*.png
        keys p
        until_true test -s compare-1.png
        quit
    }
    scene14
    if cmp -s before.png compare-1.png; then echo 'not ok S measures again'; else echo 'ok S measures again'; fi
else
    echo 'SKIP the comparison: data/model.gguf is not there (make model)'
fi

# the third view: two lanes train, balancing is switched off and on while they do, and the picture that P saves is made again from its line
scene_train() {
    start --simulate 4x8x2x12 --paused
    keys 3 space
    sleep 3
    keys b
    sleep 2
    keys plus
    sleep 2
    keys space Up shift+Right
    sleep 2
    keys p
    until_true test -s train-1.png
    quit
}
scene_train
state '3 and space train two lanes' '^Train .*steps=[1-9][0-9]'
state 'B and + change the balance while it trains' 'aux-at=2@[0-9]*:0,2@[0-9]*:0.001'
state 'up chooses the lane' ' lane=1 '
state 'shift and right chooses the layer' 'lane-layer=1 '
"$viz" --state "$(cat state)" --shot again.png 2>>errors
if cmp -s train-1.png again.png; then echo 'ok the training that P saves is what --state and --shot train again'; else
    echo "not ok the training that P saves is what --state and --shot train again: $(cat state errors)"
fi

scene_train2() {
    start --simulate 4x8x2x12 --view train --train-steps 12
    sleep 10 # half a second's work, on a machine that may have much else to do
    keys Home Right Right minus
    quit
}
scene_train2
state 'training ends where it was told to, and right goes a step on' '^Train time=80 .*steps=12'

# every other key, and what stands in the window while it shows: its lines come after the line of state (--print-scene)
scene() { if grep -q -e "$2" state; then echo "ok $1"; else echo "not ok $1: expected $2 in what stood in the window: $(head -2 state; cat errors)"; fi; }
no_scene() { if grep -q -e "$2" state; then echo "not ok $1: $2 stands in the window"; else echo "ok $1"; fi; }

scene20() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --print-scene
    keys shift+Left Left bracketleft l ctrl+minus question
    quit
}
scene20
state 'shift and left steps a layer back, left a beat' 'layer=2 beat=3 '
state '[ makes it slower' 'speed=0.5 '
state 'L loops' 'loop=on'
state 'Ctrl and - make smaller' 'scale=0.875 '
scene '? shows the keys' '^text save a picture'

scene21() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --print-scene
    keys ctrl+plus ctrl+0 question Escape Home Return
    quit
}
scene21
state 'Home goes to the beginning' 'layer=1 .*time=0 '
state 'Ctrl and 0 make it as it was' 'scale=1 '
scene 'Enter opens an expert' '^text Expert [0-9] in layer 1'
no_scene 'Esc closes the keys' '^text save a picture'

# the mouse: hover, pin, wheel, drag, the tabs and buttons. 1280 x 720; 375,230 is expert 3's bar of probability, 667,245 expert 6's.
point() { xdotool mousemove --window "$window" "$1" "$2"; sleep 0.3; }
click() { point "$1" "$2"; xdotool click 1; sleep 0.3; }

scene22() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --print-scene
    click 375 230
    point 667 245
    quit
}
scene22
scene 'a click pins a value' '^text E3: probability 0.5'
scene 'hovering shows a value' '^text E6: probability 0.1'
scene 'and its formula with the numbers' '^text 0.13 = e^'

scene23() {
    start --simulate 4x8x2x12 --paused --at 3:4:5
    point 640 300
    xdotool click --repeat 3 --delay 100 4
    point 1190 575
    xdotool mousedown 1
    point 1160 560
    point 1130 535
    xdotool mouseup 1
    quit
}
scene23
state 'the wheel zooms at the pointer' 'zoom=1.33'
state 'a drag pans' 'pan=204.*,104'

scene24() {
    start --simulate 4x8x2x12 --paused --at 3:4:5
    xdotool mousemove --window "$window" 640 300 click --repeat 3 --delay 100 4
    sleep 0.3
    keys Escape
    click 1191 23
    quit
}
scene24
if grep -q zoom= state; then echo "not ok Esc ends the zoom: $(cat state)"; else echo 'ok Esc ends the zoom'; fi
if grep -q -e '^Route ' state; then echo "not ok a click on the last view's name shows it: $(cat state)"; else echo "ok a click on the last view's name shows it"; fi

scene25() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --print-scene
    click 1180 362
    click 1238 684
    click 1250 23
    quit
}
scene25
state 'a click on the heatmap goes to its layer' 'layer=2 '
state 'a click on the speed makes it faster' 'speed=2 '
scene 'a click on ? shows the keys' '^text save a picture'

# C: what is pasted is what was copied; the field it is pasted into does not find it, and stays
scene26() {
    start --simulate 4x8x2x12 --paused --at 2:4:5 --print-scene
    keys c slash ctrl+v Return Home
    quit
}
scene26
scene 'C copies the view as a line' '^text Route layer=2 beat=4 token=5'

# other sizes: what stands in the window is what --dump-scene says of its state at that size
same_scene() {
    "$viz" --simulate 4x8x2x12 --state "$(head -1 state)" --size "$2" --dump-scene >dumped 2>>errors
    sed 1,2d state >stood
    if grep -q "^window $(echo "$2" | sed 's/x/ x /')\$" state && cmp -s stood dumped; then echo "ok $1"; else
        echo "not ok $1: $(sed -n 2p state), $(diff stood dumped | head -3; cat errors)"
    fi
}
scene27() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --print-scene
    for size in '1900 1000' '640 400' '1000 600'; do
        xdotool windowsize --sync "$window" $size
        sleep 0.5
    done
    quit
}
scene27
same_scene 'a window of another size' 1000x600

scene28() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --size 3840x2160 --print-scene
    quit
}
scene28
same_scene 'a window of 3840 x 2160' 3840x2160

scene29() {
    start --simulate 4x8x2x12 --paused --at 3:4:5 --print-scene
    keys F11
    sleep 1
    quit
}
scene29
same_scene 'F11 fills the screen' 4000x2300

# a window that shows nothing new takes no time of the processor: in five seconds at most a few hundredths of a second
ticks() { sed 's/.*) //' /proc/$program/stat | awk '{print $12 + $13}'; }
idle() {
    name=$1
    shift
    start --paused "$@"
    before=
    for i in $(seq 60); do # until what starts with it, such as the model, is done
        [ "$before" = "$(ticks)" ] && break
        before=$(ticks)
        sleep 2
    done
    sleep 5
    after=$(ticks)
    quit
    if [ $((after - before)) -le 5 ]; then echo "ok $name takes no time: $((after - before)) ticks in 5 s"; else
        echo "not ok $name takes no time: $((after - before)) ticks in 5 s"
    fi
}
idle 'a resting window' --simulate 4x8x2x12
idle 'a resting stack' --simulate 48x128x8x512 --view stack
[ -z "$model" ] || idle 'a resting window with a model' --model "$model" --text 'Mira saw a red kite.'

# without a display nothing opens, and the message says what to do instead
(unset DISPLAY; "$viz" --simulate 4x8x2x12 >/dev/null 2>errors)
code=$?
if [ $code -eq 1 ] && [ "$(wc -l <errors)" -eq 1 ] && grep -q -e '--shot' errors; then echo 'ok no display: one line that says what to do'; else
    echo "not ok no display: one line that says what to do: exit code $code, $(cat errors)"
fi
