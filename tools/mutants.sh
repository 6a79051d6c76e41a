#!/bin/sh
# Plants each fault of tests/mutants/*.patch into a scratch copy and runs the test that its first line names:
#   # caught by: test_router        (or the name of a script of tests/, without .sh; cuda/...: on the emulated GPU)
# A fault is caught when that test fails. The last line is `N caught, N missed`.
#   tools/mutants.sh BUILD [PATCH...]
set -u
build=$1
shift
[ $# -gt 0 ] || set -- tests/mutants/*.patch
[ -e "$1" ] || { echo 'no patches in tests/mutants'; exit 1; }
command -v patch >/dev/null || { echo "patch was not found: 'make setup' installs it"; exit 1; }

# The copy keeps times and takes the objects along, so that only what a patch touches is compiled.
scratch=$build/mutants
rm -rf "$scratch"
mkdir -p "$scratch/build"
for part in Makefile README.md src viz tests tools data docs lessons; do [ -e $part ] && cp -a $part "$scratch"; done
cp -a "$build/obj" "$build/linked" "$build/moe" "$build/emulated" "$scratch/build" 2>/dev/null
caught=0 missed=0

# The named test, built and run in the copy: 0 it passes, 1 it fails, 2 it does not build.
try() (
    cd "$scratch" || exit 2
    log=mutant.log
    case $1 in
    cuda/*) into=build/emulated with=CUDA=emulated ;;
    *) into=build with= ;;
    esac
    if [ -f "tests/$1.sh" ]; then
        case $1 in
        lessons) programs='programs lesson-programs' ;;
        cuda/bench) programs=$into/bench-cuda ;;
        *) programs=programs ;;
        esac
        make -s BUILD=$into WERROR= $with $programs >$log 2>&1 || exit 2
        MOE=$into/moe BUILD=$into timeout 300 sh "tests/$1.sh" >$log 2>&1 && ! grep -q '^not ok ' $log && exit 0 || exit 1
    fi
    make -s BUILD=$into WERROR= $with "$into/obj/$1" >$log 2>&1 || exit 2
    timeout 300 "$into/obj/$1" >$log 2>&1 && exit 0 || exit 1
)

clean_ok=' '
for fault in "$@"; do
    name=$(basename "$fault" .patch)
    test=$(sed -n '1s/^# caught by: *//p' "$fault")
    verdict=
    case $clean_ok in
    *" $test "*) ;;
    *) # a test that fails by itself catches nothing
        try "$test"
        case $? in
        0) clean_ok="$clean_ok$test " ;;
        1) verdict="MISSED ($test fails without it)" ;;
        *) verdict="MISSED (there is no $test to build)" ;;
        esac
        ;;
    esac
    if [ -z "$verdict" ]; then
        if patch -d "$scratch" -p1 -s -f --no-backup-if-mismatch --dry-run <"$fault" >/dev/null 2>&1; then
            patch -d "$scratch" -p1 -s -f --no-backup-if-mismatch <"$fault"
            try "$test"
            case $? in
            0) verdict=MISSED ;;
            1) verdict=caught ;;
            *) verdict='MISSED (it does not compile)' ;;
            esac
            patch -d "$scratch" -p1 -s -f -R --no-backup-if-mismatch <"$fault"
        else
            verdict='MISSED (the patch does not apply)'
        fi
    fi
    printf '%-44s %-28s %s\n' "$name" "$test" "$verdict"
    if [ "$verdict" = caught ]; then caught=$((caught + 1)); else missed=$((missed + 1)); fi
done
rm -rf "$scratch"
echo "$caught caught, $missed missed"
[ $missed -eq 0 ]
