#!/bin/sh
# What stands behind `make lessons`, `check-NN`, `hint-NN` and `watch-NN`. Progress is kept beside the build.
#   tools/lessons.sh BUILD list | check NN PROGRAM | hint NN | watch NN PROGRAM | unknown TARGET
set -u
build=$1 what=$2
list=lessons/list.txt done=$build/lessons.done hints=$build/lessons.hints
mkdir -p "$build"

field() { awk -F'|' -v number="$1" -v field="$2" '$1 == number { print $field }' $list; } # of a lesson's row

case $what in
list)
    awk -F'|' -v finished="$(cat "$done" 2>/dev/null | tr '\n' ' ')" '
        /^[0-9]/ {
            lessons++
            mark = " "
            if (index(" " finished " ", " " $1 " ")) { mark = "x"; n++ }
            there = (getline line < ("lessons/" $2 "/README.md")) > 0
            printf "  [%s] %s  %s%s\n", mark, $1, $3, there ? "" : " (not written yet)"
        }
        END {
            printf "\n%d of %d exercises done. Read lessons/NN_name/README.md, then `make lesson-NN` and `make check-NN`.\n", n, lessons
        }' $list
    ;;
check)
    number=$3
    # make prints a line of its own below whatever fails, which reads like a fault of the build.
    "$4" "$number" || { echo 'Below, make calls this an error: it only says that the check has not passed yet.'; exit 1; }
    grep -qx "$number" "$done" 2>/dev/null || echo "$number" >>"$done"
    echo "The engine's own: $(field "$number" 5) in $(field "$number" 4). See yours in it with \`make watch-$number\`."
    ;;
hint)
    number=$3
    file=lessons/$(field "$number" 2)/hints.txt
    [ -f "$file" ] || { echo "there are no hints in $file"; exit 1; }
    given=$(awk -v number="$number" '$1 == number { n = $2 } END { print n + 0 }' "$hints" 2>/dev/null)
    total=$(awk 'BEGIN { RS = "" } END { print NR }' "$file")
    show=$((${given:-0} + 1))
    last=
    if [ $show -gt "$total" ]; then show=$total last=1; fi
    awk -v show=$show -v total="$total" 'BEGIN { RS = "" } NR <= show { printf "hint %d of %d: %s\n\n", NR, total, $0 }' "$file"
    if [ -n "$last" ]; then echo "That is all there is; the solution is $(field "$number" 5) in $(field "$number" 4)."; fi
    { grep -v "^$number " "$hints" 2>/dev/null; echo "$number $show"; } >"$hints.part" && mv "$hints.part" "$hints"
    ;;
watch)
    text=${TEXT:-Little Ida has a red kite on the hill.}
    case $(field "$3" 4) in
    src/cost/*) # costs of published models are numbers, too large for the window
        "$4" cost "${MODEL:-Mixtral-8x7B}" || exit
        [ ! -x "$build/moe-viz" ] || echo "On one sentence, in the window and with the engine's own functions: $build/moe-viz --tour $3"
        exit ;;
    esac
    case $4 in
    *moe-viz) exec "$4" --tour "$3" --text "$text" --fallback "$build/lesson-$3" ;;
    *) echo 'no window was built (SDL2 or cairo is missing): the same in the terminal'; exec "$4" route --text "$text" ;;
    esac
    ;;
unknown)
    number=${3##*-} target=${3%-*}
    numbers=$(awk -F'|' '/^[0-9]/ { printf "%s%s", n++ ? " " : "", $1 }' $list)
    padded=$(printf '%02d' "${number#0}" 2>/dev/null)
    case " $numbers " in
    *" $number "*) echo "lesson $number has nothing for $target yet: lessons/$(field "$number" 2)" ;;
    *" $padded "*) echo "there is no $3: lessons have two digits, make $target-$padded" ;;
    *) echo "there is no $3. The lessons are $numbers: \`make lessons\` lists them, then make lesson-01, check-01, hint-01, watch-01." ;;
    esac
    exit 1
    ;;
*) echo "tools/lessons.sh: unknown word $what" >&2; exit 2 ;;
esac
