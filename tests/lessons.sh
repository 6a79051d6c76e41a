#!/bin/sh
# Every lesson of list.txt: it prints what expected.txt says, its README has its sections and says no number that the program does not
# print, its figure is the program's; its check passes the engine's own function and rejects the exercise as it comes and every file of
# tests/lessons/wrong, each with the words that its first line names. `make test-lessons` builds what this runs; LESSONS='03 04' picks some.
export LC_ALL=C OMP_WAIT_POLICY=passive
build=${BUILD:-build}
programs=${LESSONS_OBJ:-$build/obj/lessons}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sections='Predict first|The idea|By hand|Run it|Break it|Your turn|In the engine|Check yourself|Sources'
LINES_MAX=220 # of a lesson.c, which should read in one go

# verdict NAME 'why not, or nothing'
verdict() { if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi; }

# What is measured differs from run to run (times) or with the next training (the shipped model): on a line that says so, digits and the spaces
# that pad them do not count.
mask() { sed '/measured/{s/[0-9][0-9.,]*/#/g;s/  */ /g;}' "$1"; }

# The numbers of a text, one a line, without commas between thousands and zeros at the end: names such as F32, W_1 and top-2 hold none.
# A comma may also divide: (4,128) is 4128, and 4, and 128 where `split` is set.
numbers() {
    awk -v split_too="$1" '
    function say(n) {
        gsub(/,/, "", n)
        if (n ~ /\./) { sub(/0+$/, "", n); sub(/\.$/, "", n) }
        print n
    }
    {
        gsub(/[0-9]+x[0-9]+B/, " ")
        gsub(/[A-Za-z_][A-Za-z0-9_.]*(-[A-Za-z0-9]+)*/, " ")
        while (match($0, /[0-9]+(,[0-9][0-9][0-9])*(\.[0-9]+)?/)) {
            n = substr($0, RSTART, RLENGTH)
            $0 = substr($0, RSTART + RLENGTH)
            say(n)
            if (split_too && n ~ /,/) for (i = split(n, part, ","); i > 0; i--) say(part[i])
        }
    }' "$2" | sort -u
}

# What a README says in sentences and tables: without code, links, the numbers of lessons and of lists, and its sources.
prose() {
    awk '
    /^```/ { code = !code; next }
    /^## / { sources = $0 ~ /^## Sources/ }
    code || sources || /^    / { next }
    {
        kept = ""
        while (match($0, /`[^`]*`/)) {
            span = substr($0, RSTART, RLENGTH)
            kept = kept substr($0, 1, RSTART - 1) (span ~ /[A-Za-z]/ ? " " : span)
            $0 = substr($0, RSTART + RLENGTH)
        }
        $0 = kept $0
        gsub(/\]\([^)]*\)/, "]")
        gsub(/<[^>]*>/, " ")
        gsub(/([Ll]essons?|[Ee]xercises?) [0-9][0-9]((,| and| or| to) [0-9][0-9])*/, " ")
        sub(/^#+ [0-9][0-9] /, "")
        sub(/^ *[0-9]+\. /, "")
        print
    }' "$1"
}

# The check's verdict on one file: it must end with 1 and say the words.
rejects() { # NAME PROGRAM NUMBER 'words, or nothing'
    "$2" "$3" >"$work/said" 2>&1 </dev/null
    code=$?
    tr '\n' ' ' <"$work/said" >"$work/line" # the paragraph is wrapped
    why=
    if [ $code -ne 1 ]; then why="exit code $code, expected 1; it says: $(head -c 300 "$work/line")"
    elif [ -n "$4" ] && ! grep -qF -e "$4" "$work/line"; then why="it must say '$4'; it says: $(head -c 600 "$work/line")"
    elif ! grep -q "^lesson $3: " "$work/line"; then why="no plain message: $(head -c 300 "$work/line")"; fi
    verdict "$1" "$why"
}

grep '^[0-9]' lessons/list.txt | while IFS='|' read -r number name _ files functions; do
    case " ${LESSONS:-$number} " in *" $number "*) ;; *) continue ;; esac
    folder=lessons/$name own=$programs/$number
    lacking=
    for file in README.md lesson.c expected.txt exercise.c hints.txt figure.c figure.svg; do [ -s "$folder/$file" ] || lacking="$lacking $folder/$file"; done
    [ -s "tests/lessons/check_$number.c" ] || lacking="$lacking tests/lessons/check_$number.c"
    for file in $files; do [ -e "$file" ] || lacking="$lacking $file"; done
    verdict "lesson $number has its files" "${lacking:+not there:$lacking}"

    if [ -f $folder/lesson.c ]; then
        why=
        "$own/lesson" >"$work/out" 2>"$work/err" </dev/null || why="exit code $?; $(head -c 300 "$work/err")"
        mask "$work/out" >"$work/out.masked"
        mask "$folder/expected.txt" >"$work/expected.masked"
        cmp -s "$work/expected.masked" "$work/out.masked" || why="$why $(diff "$work/expected.masked" "$work/out.masked" | head -8)"
        verdict "lesson $number prints expected.txt" "$why"
        lines=$(wc -l <"$folder/lesson.c")
        verdict "lesson $number reads in one go" "$([ "$lines" -le $LINES_MAX ] || echo "lesson.c has $lines lines, at most $LINES_MAX")"
    fi

    if [ -f "$folder/README.md" ]; then
        found=$(sed -n 's/^## //p' "$folder/README.md" | paste -s -d '|' -)
        verdict "lesson $number: README has its sections" "$([ "$found" = "$sections" ] || echo "found '$found', expected '$sections'")"
        prose "$folder/README.md" >"$work/prose"
        numbers '' "$work/prose" >"$work/said"
        { [ ! -f "$folder/expected.txt" ] || numbers 1 "$folder/expected.txt"; echo "${number#0}"; } | sort -u >"$work/printed"
        unknown=$(comm -23 "$work/said" "$work/printed" | tr '\n' ' ')
        verdict "lesson $number: README's numbers are printed" "${unknown:+not in expected.txt: $unknown}"
        lost=
        for link in $(grep -o '](\([^)]*\))' "$folder/README.md" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:'); do
            [ -e "$folder/$link" ] || lost="$lost $link"
        done
        verdict "lesson $number: README's links lead somewhere" "$lost"
        verdict "lesson $number: README shows its figure" "$(grep -q '!\[.*\](figure.svg)' "$folder/README.md" || echo 'no ![...](figure.svg)')"
    fi
    if [ -x "$own/figure" ] && [ -f "$folder/figure.svg" ]; then
        why=
        "$own/figure" "$work/figure.svg" >"$work/out" 2>&1 || why="exit code $?; $(head -c 300 "$work/out")"
        grep -o '>[^<>]*</text>' "$work/figure.svg" >"$work/drawn.texts"
        grep -o '>[^<>]*</text>' "$folder/figure.svg" >"$work/committed.texts"
        cmp -s "$work/drawn.texts" "$work/committed.texts" || why="$why the committed figure.svg says something else: make figure-$number"
        verdict "lesson $number: figure.svg is the program's" "$why"
    fi
    if [ -f "$folder/hints.txt" ]; then
        count=$(awk 'BEGIN { RS = "" } END { print NR }' "$folder/hints.txt")
        verdict "lesson $number has hints" "$([ "$count" -ge 3 ] || echo "$count in hints.txt, at least 3 are expected")"
    fi

    [ -f "tests/lessons/check_$number.c" ] && [ -n "$functions" ] && [ -z "$lacking" ] || continue
    "$own/engine" "$number" >"$work/out" 2>&1 </dev/null
    code=$?
    verdict "check $number passes the engine's own function" "$([ $code -eq 0 ] && grep -qx "lesson $number: done" "$work/out" || echo "exit code $code; $(head -c 600 "$work/out")")"
    # Somebody who works through the lessons solves the exercise where it stands.
    if grep -qsx "$number" "$build/lessons.done" && "$own/stub" "$number" >/dev/null 2>&1; then echo "SKIP check $number rejects the exercise as it comes: it is solved here"
    else rejects "check $number rejects the exercise as it comes" "$own/stub" "$number" ''; fi
    wrongs=0
    for wrong in tests/lessons/wrong/"$number"_*.c; do
        [ -e "$wrong" ] || continue
        wrongs=$((wrongs + 1))
        short=$(basename "$wrong" .c)
        says=$(sed -n '1s|^// says: *||p' "$wrong")
        if [ -z "$says" ]; then verdict "check $number rejects $short" 'its first line must be: // says: a phrase of the message'
        else rejects "check $number rejects $short" "$own/wrong_${short#*_}" "$number" "$says"; fi
    done
    verdict "check $number has wrong files" "$([ $wrongs -ge 4 ] || echo "$wrongs in tests/lessons/wrong, at least 4 are expected")"
done
