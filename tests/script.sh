#!/bin/sh
# moe-viz --script: every command does what the key or flag of its name does, a wrong line is one line of error with file and number, and a film
# has as many frames as its waits say. Without a window and without SDL. Prints `ok name`, `not ok name` or `SKIP name: why`.
set -u
viz=${BUILD:-build}/moe-viz
[ -x "$viz" ] || { echo "SKIP script: $viz was not built (SDL2 or cairo was not found)"; exit 0; }
viz=$(realpath "$viz") dense=$PWD/data/dense_active.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset DISPLAY WAYLAND_DISPLAY

# run SCRIPT FLAGS...: standard output in `out`, standard error in `errors`, the exit code in `code`
run() {
    printf '%b' "$1" >script.txt
    shift
    "$viz" --simulate 4x8x2x12 --script script.txt "$@" >out 2>errors </dev/null
    code=$?
}
# says NAME 'piece of the output'
says() { if [ $code -eq 0 ] && grep -q -e "$2" out; then echo "ok $1"; else echo "not ok $1: exit code $code, expected $2 in: $(head -c 400 out) $(cat errors)"; fi; }
# refuses NAME 'the whole error'
refuses() {
    if [ $code -eq 1 ] && [ "$(cat errors)" = "moe-viz: $2" ] && [ ! -s out ]; then echo "ok $1"; else
        echo "not ok $1: exit code $code, expected '$2', found '$(cat errors)'"
    fi
}

run '# a comment, and an empty line\n\n  key Right\n' --print-state
says 'a step that is not waited for stands at its beginning' 'beat=2 .*time=900 '
run 'key Right\nwait 900\n' --print-state
says 'wait lets the step rest' 'beat=2 .*time=1799'
run 'key Shift+Right Shift+Right Down Down Up ] h m n\n' --print-state
says 'key presses several' 'layer=3 .*token=1 .*speed=2 palette=violet-green motion=reduced narration=off'
run 'key End Ctrl+Plus\nkey Home 2\n' --print-state
says 'key knows Ctrl and pages' '^Stack layer=1 .*scale=1.125'
run 'key /\ntype sends\nkey Enter\n' --print-state
says 'type writes into the field' 'token=2 '
run 'key Space\nwait 1000\n' --print-state
says 'wait moves time by its milliseconds' 'time=\(1000\|999\.99\)[0-9.]* '
run 'at 3:4:5\n' --print-state
says 'at goes where --at goes' 'layer=3 beat=4 token=5'
run 'view stack layer=2 beat=5 token=7 palette=grey\n' --print-state
says 'view takes a line of state' '^Stack layer=2 beat=5 token=7 .*palette=grey'
run 'click token 6\nclick view 2\n' --print-state
says 'click presses what the dump names' '^Stack .*token=6'
run 'at 2:8\nhover expert 3\n' --dump-scene
says 'hover shows a tooltip' 'text E3 '
run 'at 2:1\nhover expert 3\n' --dump-scene
says 'a tooltip counts what its card does not count yet as to come' 'text E3 in layer 2: will be asked by '
run 'at 2:5\nhover expert 3\n' --dump-scene
says 'a tooltip counts what its card counts' 'text E3 in layer 2: asked by '
"$viz" --simulate 4x8x2x60 --versus-simulate 4x8x2x40 --state 'stack layer=4 beat=8 token=8' --dump-scene >out 2>errors; code=$?
[ "$(grep -o '^part layer [1-4] ' out | sort -u | wc -l)" -eq 4 ] || code=9
says 'two ways beside two texts have a bar a layer' '^twin '
"$viz" --simulate 48x8x2x12 --view stack --dump-scene >out 2>errors; code=$?
says 'a way too long for its panel says which layers it shows' 'text layers [0-9]* to 48 of 48$'
run '' --dump-scene
says 'bytes of weights say that they are those of the file' '^text weights touched of all resident, as stored$'
if [ -f "$dense" ]; then
    printf 'hover metric sparse flops-prompt\n' >script.txt
    "$viz" --model "${dense%/*}/model.gguf" --text 'A red kite.' --view compare --no-measure --script script.txt --dump-scene >out 2>errors; code=$?
    says 'Compare says how many bytes it counts a weight' '^text [0-9,]* weights of 4 bytes, [0-9,]* work for a token$'
    says 'Compare says where the output head counts' '^text the output head counts at every token; the Route view runs it at the last alone$'
    printf 'hover metric sparse validation\n' >script.txt
    "$viz" --model "${dense%/*}/model.gguf" --text 'A red kite.' --view compare --no-measure --script script.txt --dump-scene >out 2>errors; code=$?
    says 'Compare says whose validation loss it shows' '^text 0.* nats a token, as its training log.s last line says'

    "$viz" --model "$dense" --text 'A red kite.' --dump-scene >out 2>errors; code=$?
    says 'a dense model has no experts' '^text 4 dense layers, no experts, 4 tokens$'
    says 'a dense model runs every weight' '^text dense: every weight runs$'
    if grep -q 'top-0\|0 experts\|expert runs' out; then code=9; fi
    says 'a dense model counts no experts' '^text no experts$'
else
    echo 'SKIP a dense model: data/dense_active.gguf is not here'
fi
run 'tour\nkey Enter\nclick tour next\nclick tour back\nkey Enter\n' --print-state
says 'tour begins, and keys and clicks walk it' 'beat=2 .*tour=intro:3'
run 'tour 4\n' --dump-scene
says 'tour 4 is that of lesson 04' '^tour 04 step 1 of 3'
run 'tour\nkey Esc\nquit\nkey 2\n' --print-state
says 'quit ends it, whatever follows' '^Route'
run 'at 2:7:3\nshot one.png\n' --print-state
"$viz" --simulate 4x8x2x12 --at 2:7:3 --shot two.png
if cmp -s one.png two.png; then echo 'ok shot draws what --shot draws'; else echo "not ok shot draws what --shot draws: $(cat errors)"; fi
run 'at 2:7:3\n' --shot three.png
if cmp -s three.png two.png; then echo 'ok --shot shows how the script ends'; else echo "not ok --shot shows how the script ends: $(cat errors)"; fi

run 'key 3 Space\nwait 400\nkey Space\nwait 400\n' --print-state
says 'a training makes the steps of the clock' '^Train .*steps=10 '
run 'key 3 Space\nwait 100\nkey B\nwait 100\n' --dump-scene
cp out first
run 'key 3 Space\nwait 100\nkey B\nwait 100\n' --dump-scene
if cmp -s out first; then echo 'ok twice the same training'; else echo "not ok twice the same training: $(diff out first | head -5)"; fi

# films: one frame is one thirtieth of a second; 320 x 320 pixels of 4 bytes
run 'wait 200\nrecord start -\nkey Space\nwait 1000\nrecord stop\nwait 500\n' --size 320x320
same() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: expected $3, found $2; $(cat errors)"; fi; }
same 'record writes a frame each thirtieth of a second' "$(wc -c <out | tr -d ' ')" $((30 * 320 * 320 * 4))
run 'key Space\nwait 500\nwait 250\nwait 250\n' --size 320x320 --record -
same '--record films the whole script' "$(wc -c <out | tr -d ' ')" $((30 * 320 * 320 * 4))
cp out first
run 'key Space\nwait 500\nwait 250\nwait 250\n' --size 320x320 --record -
if cmp -s out first; then echo 'ok twice the same film'; else echo 'not ok twice the same film'; fi
if command -v ffmpeg >/dev/null 2>&1; then
    run 'record start film.gif\nkey Space\nwait 400\n' --size 320x320
    if [ -s film.gif ] && [ $code -eq 0 ]; then echo 'ok a film that is not stopped ends with the script'; else echo "not ok a film that is not stopped ends with the script: $(cat errors)"; fi
else
    echo 'SKIP record to a GIF: ffmpeg was not found'
fi

# what is wrong is said with the line, before anything is opened where it can be seen before
run 'wait 5\nwiat 5\n'; refuses 'an unknown command names the nearest' 'script.txt:2: no command is called "wiat"; the nearest is wait'
run 'fly\n'; refuses 'an unknown command lists the others' 'script.txt:1: no command is called "fly"; expected key, type, wait, view, at, click, hover, tour, shot, record or quit'
run 'key Wombat\n'; refuses 'an unknown key' 'script.txt:1: key: no key is called "Wombat"; expected a character or Space, Right, Shift+Right, Enter, Esc, Ctrl+Plus ...'
run '\n\nwait soon\n'; refuses 'a wait of no number' 'script.txt:3: wait: expected milliseconds from 0 to 600000, found "soon"'
run 'shot a.bmp\n'; refuses 'a picture of no kind' 'script.txt:1: shot: expected a name that ends in .png, .svg or .pdf, found "a.bmp"'
run 'record a.gif\n'; refuses 'a film without start' 'script.txt:1: record: expected stop, or start and a name that ends in .mp4 or .gif; found "a.gif"'
run 'record stop\n'; refuses 'a film that was not begun' 'script.txt:1: record: nothing is being recorded'
run 'record start -\nrecord start -\n'; refuses 'a film within a film' 'script.txt:2: record: a film is being recorded already; expected record stop before'
run 'tour 14\n'; refuses 'an unknown tour' 'script.txt:1: tour: no tour is called "14"; expected nothing, or a lesson from 01 to 13'
run 'quit now\n'; refuses 'a word too many' 'script.txt:1: quit: expected nothing after it, found "now"'
run 'type\n'; refuses 'a word too few' 'script.txt:1: type: expected something after it'
run 'click expert 99\n'; refuses 'a thing that is not there' 'script.txt:1: click: nothing on the screen is "expert 99"; --dump-scene lists what is'
run 'at 9:1\n'; refuses 'a layer that is not there' 'script.txt:1: at: layer runs from 1 to 4'
run 'view rout\n'; refuses 'a line of state that is none' "script.txt:1: view: 'rout' names no view; expected 'Route' or another one's name"
run 'key F11\n'; refuses 'what only a window can do' 'script.txt:1: key: this key needs a window: add --window'
run 'key t\ntype .\nkey Enter\n'; refuses 'a prompt without a model' 'script.txt:3: key: a simulated trace runs no prompts: start without --simulate to type one'
run 'wait 1\000\n'; refuses 'bytes that are no text' 'script.txt: a script is text; this has zero bytes'
"$viz" --simulate 4x8x2x12 --script none.txt >out 2>errors; code=$?
refuses 'a script that is not there' 'cannot read none.txt: No such file or directory'
"$viz" --tour 14 >out 2>errors; code=$?
if [ $code -eq 2 ] && grep -q '^moe-viz: --tour 14: expected nothing, or a lesson from 01 to 13' errors; then echo 'ok --tour refuses a lesson that there is not'; else
    echo "not ok --tour refuses a lesson that there is not: exit code $code, $(cat errors)"
fi
"$viz" --simulate 4x8x2x12 --tour --dump-scene >out 2>errors; code=$?
says '--tour alone is the tour for beginners' '^tour intro step 1 of 8'
"$viz" --simulate 4x8x2x12 --tour=12 --dump-scene >out 2>errors; code=$?
says '--tour=12 is that of lesson 12' '^tour 12 step 1 of 3'
