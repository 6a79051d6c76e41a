#!/bin/sh
# What moe-viz says in a terminal where something is missing or wrong: one line, the exit code, and no file left behind.
set -u
export OMP_WAIT_POLICY=passive
viz=${BUILD:-build}/moe-viz
[ -x "$viz" ] || { echo "SKIP wrong input: $viz was not built (SDL2 or cairo was not found)"; exit 0; }
viz=$(realpath "$viz") model=$PWD/data/model.gguf sample=$PWD/data/sample.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
verdict() { if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi; }
# refused NAME CODE 'words' FLAGS...: one line with these words, and no picture
refused() {
    name=$1 code=$2 words=$3
    shift 3
    "$@" >out 2>err </dev/null
    found=$? why=
    if [ $found -ne "$code" ]; then why="exit code $found, expected $code: $(cat err)"
    elif [ "$(wc -l <err)" -ne 1 ]; then why="expected one line: $(cat err)"
    elif ! grep -qF -e "$words" err; then why="lacks '$words': $(cat err)"
    elif [ -e shot.png ] || [ -e film.mp4 ]; then why="a file was left behind"; fi
    rm -f shot.png film.mp4
    verdict "$name" "$why"
}
refused 'a trace that is not there' 1 'nowhere.gguf' "$viz" --trace nowhere.gguf --shot shot.png
refused 'a text is no trace' 1 'not a GGUF file' "$viz" --trace "$sample" --shot shot.png
refused 'a text is no model' 1 'not a GGUF file' "$viz" --model "$sample" --shot shot.png
refused 'a film without ffmpeg' 1 'ffmpeg' env PATH=/nonexistent "$viz" --simulate 2x8x2x5 --record film.mp4
if [ -f "$model" ]; then
    refused 'a model is no trace' 1 'not a trace' "$viz" --trace "$model" --shot shot.png
    refused 'a prompt that is not UTF-8' 1 'not UTF-8: byte 4 of 4 is 0xE9' "$viz" --model "$model" --text "$(printf 'caf\351')" --shot shot.png
    refused 'a prompt that is too long' 1 'tokens, and this model reads 128' "$viz" --model "$model" --text "$(head -c 2500 "$sample")" --shot shot.png
    refused 'more experts than there are' 2 '--experts-used: expected 1 to 8, found 99' "$viz" --model "$model" --experts-used 99 --shot shot.png
    refused 'an empty prompt' 1 'the prompt is empty' "$viz" --model "$model" --text '' --shot shot.png
else
    echo 'SKIP wrong prompts: data/model.gguf is not here'
fi
refused 'a word that belongs to no flag' 2 'expected: moe-viz [--text TEXT]' "$viz" foo
# flags that contradict each other, or that no view in sight reads: said at once all the same, since 3 or 4 may be pressed
made="--simulate 2x8x2x5 --shot shot.png"
contradicts() { refused "$1 contradict each other" 2 "$1 contradict each other: " "$viz" "$2" "$3" "$4" "$5" --shot shot.png; }
contradicts '--simulate and --trace' --simulate 2x8x2x5 --trace nowhere.gguf
contradicts '--simulate and --model' --simulate 2x8x2x5 --model nowhere.gguf
contradicts '--simulate and --text' --simulate 2x8x2x5 --text hi
contradicts '--simulate and --noise' --simulate 2x8x2x5 --noise 1
contradicts '--simulate and --experts-used' --simulate 2x8x2x5 --experts-used 1
contradicts '--trace and --text' --text hi --trace nowhere.gguf
contradicts '--trace and --dense-active' --dense-active nowhere.gguf --trace nowhere.gguf
contradicts '--text - and --script -' --text - --script -
refused 'a second text that no model runs' 2 'with --simulate --versus-simulate' "$viz" $made --versus hi
refused 'two second texts' 2 'only one of them' "$viz" $made --versus-simulate 2x8x2x5 --versus-trace nowhere.gguf
refused 'a dense model that is not there, on a view that has none' 1 'cannot read nowhere.gguf: No such file' "$viz" --dense-active nowhere.gguf --shot shot.png
refused 'a text that is not there, on a view that trains not' 1 'cannot read nowhere.txt: No such file' "$viz" $made --train-text nowhere.txt
refused 'a model that is not there, on a view that trains' 1 'cannot read nowhere.gguf' "$viz" --view train --train-steps 1 --model nowhere.gguf --shot shot.png
for flag in '--rule foo' '--lr bar' '--lr -1' '--aux x' '--capacity x' '--bias-rate 0.1' '--vocab 300x' '--vocab 257.' '--aux-at 1@1:0,' '--aux-at ,1@1:0' \
    '--aux-at 1@1:+nan' '--dim 5' '--experts-used 99 --view train'; do
    case $flag in *view*) refused "$flag" 2 "${flag%% *}" "$viz" $flag --shot shot.png ;; *) refused "$flag" 2 "${flag%% *}" "$viz" $made $flag ;; esac
done
for sizes in '+2x8x2x5' ' 2x 8x2x5' '2x8x2x' '2x8x2x5x' '2x8x9x5' '2x8x2x-5'; do
    refused "--simulate '$sizes'" 2 "--simulate: expected layers x experts x experts used x tokens, such as 4x8x2x12; found \"$sizes\"" \
        "$viz" --simulate "$sizes" --shot shot.png
done
refused '--versus-simulate' 2 '--versus-simulate: expected layers' "$viz" $made --versus-simulate 2x8
for steps in -3 999999999999999999999 20001 3x ''; do
    refused "a state of '$steps' steps" 2 "--state: steps=$steps: expected a whole number from 0 to 20000" "$viz" --state "train steps=$steps" --shot shot.png
done
# a full disk: behind standard output, and under a picture, whose cause is said and whose old file stands
if [ -e /dev/full ]; then
    for flags in --help '--simulate 2x8x2x5 --print-state --script /dev/null' '--simulate 2x8x2x5 --dump-scene' '--simulate 2x8x2x5 --record -'; do
        "$viz" $flags >/dev/full 2>err </dev/null
        found="$? $(cat err)"
        case $found in "1 moe-viz: "*': No space left on device') verdict "$flags on a full disk" '' ;; *) verdict "$flags on a full disk" "$found" ;; esac
    done
fi
# The thread sanitizer keeps its own books in files, which may not grow then either.
case ${BUILD:-build} in *threads*) endings= films= ;; *) endings='png svg pdf' films=film.mp4 ;; esac
[ -n "$endings" ] || echo 'SKIP files that find no room: not under the thread sanitizer, which needs room itself'
for ending in $endings; do
    echo before >"full.$ending"
    (ulimit -f 4; "$viz" --simulate 2x8x2x5 --shot "full.$ending" >out 2>err)
    found="$? $(cat err) $(head -c 9 "full.$ending") $(ls ./*.part 2>/dev/null)"
    wanted="1 moe-viz: cannot write full.$ending: File too large; what was there before is unchanged before "
    if [ "$found" = "$wanted" ]; then verdict "a $ending that finds no room" ''; else verdict "a $ending that finds no room" "expected '$wanted', found '$found'"; fi
done
# films: a name is a name, whatever it looks like; what cannot be written is said in one line with its cause, and leaves nothing
mkdir folder.mp4
ln -s /dev/null link.mp4
refused 'a film in no folder' 1 'cannot write none/film.mp4: No such file' "$viz" --simulate 1x8x2x5 --record none/film.mp4
refused 'a film over a folder' 1 'cannot write folder.mp4: it is a folder' "$viz" --simulate 1x8x2x5 --record folder.mp4
refused 'a film over a device' 1 'cannot write link.mp4: it is a device' "$viz" --simulate 1x8x2x5 --record link.mp4
if command -v ffmpeg >/dev/null 2>&1; then
    for name in a:b.mp4 -y.mp4 pipe:1.mp4 a%d.gif; do
        "$viz" --simulate 1x8x2x5 --size 320x320 --speed 16 "--record=$name" >out 2>err </dev/null
        found="$? $(cat out err) $([ -s "./$name" ] && echo written)"
        if [ "$found" = '0  written' ]; then verdict "a film called $name" ''; else verdict "a film called $name" "$found"; fi
    done
    for film in $films; do
        (ulimit -f 4; "$viz" --simulate 1x8x2x5 --size 640x360 --speed 16 --record film.mp4 >out 2>err)
        found="$? $(wc -l <err | tr -d ' ') $(grep -c '^moe-viz: cannot write film.mp4: .*File too large' err) $(ls film.mp4* 2>/dev/null)"
        if [ "$found" = '1 1 1 ' ]; then verdict 'a film that finds no room' ''; else verdict 'a film that finds no room' "$found: $(cat err)"; fi
    done
fi
# no font: a picture all the same, in plain letters, and a line that says so
mkdir none
echo "<?xml version=\"1.0\"?><fontconfig><dir>$work/none</dir><cachedir>$work/cache</cachedir></fontconfig>" >fonts.conf
FONTCONFIG_FILE=$work/fonts.conf "$viz" --simulate 2x8x2x5 --shot shot.png >out 2>err
why=
[ -s shot.png ] || why='no picture was made'
[ "$(wc -l <err)" -eq 1 ] && grep -q 'no font was found' err || why="$why expected one line that no font was found: $(cat err)"
verdict 'no font' "$why"
