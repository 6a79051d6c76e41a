#!/bin/sh
# What this machine has. Each part is found by compiling and linking a probe, not by looking for files.
# Writes $BUILD/parts.mk (for make) and $BUILD/parts.txt (one line a part, for people).
# Prints one line, and nothing else, when something is missing without which nothing can be built.
# A part once found with the same compiler and flags is not probed again; a missing one is, so that installing it is enough.
set -u
mkdir -p "$BUILD/probes" || exit 1
mk=$BUILD/parts.mk txt=$BUILD/parts.txt
: >"$mk.part"
: >"$txt.part"

# probe NAME 'flags and libraries' 'the program'
probe() {
    found="$BUILD/probes/$1"
    key="$CC $2 ${SAN:-}"
    if [ -f "$found" ] && [ "$(cat "$found")" = "$key" ]; then return 0; fi
    printf '%s\n' "$3" >"$found.c"
    # shellcheck disable=SC2086 # flags are words
    if $CC -o "$found.out" "$found.c" $2 >"$found.log" 2>&1; then
        printf '%s\n' "$key" >"$found"
        return 0
    fi
    rm -f "$found"
    return 1
}
line() { printf '  %-9s %s\n' "$1" "$2" >>"$txt.part"; }
make_var() { printf '%s\n' "$1" >>"$mk.part"; }

compiler=${CC%% *}
command -v "$compiler" >/dev/null 2>&1 || { echo "no C compiler ($CC): 'make setup' installs what is missing"; exit 0; }
probe compiler '-std=c11 -lm' 'int main(void) { return 0; }' || { echo "$CC cannot link a C11 program ($BUILD/probes/compiler.log): try 'make setup'"; exit 0; }
probe utf8proc '-lutf8proc' '#include <utf8proc.h>
int main(void) { return utf8proc_charwidth(65) != 1; }' || { echo "utf8proc was not found: 'make setup' installs it"; exit 0; }

if [ -n "${NO_OMP:-}" ]; then
    line threads 'switched off with NO_OMP=1: one thread'
    make_var 'OMP_FLAGS = -Wno-unknown-pragmas -Wno-unused-function'
elif probe omp '-fopenmp' '#include <omp.h>
int main(void) { return omp_get_max_threads() < 1; }'; then
    line threads 'found OpenMP'
    make_var 'OMP_FLAGS = -fopenmp'
    make_var 'OMP_LINK = -fopenmp'
else
    line threads "OpenMP not found: one thread ($CC -fopenmp does not link)"
    make_var 'OMP_FLAGS = -Wno-unknown-pragmas -Wno-unused-function'
fi

if probe cjson '-lcjson' '#include <cjson/cJSON.h>
int main(void) { return cJSON_ParseWithLengthOpts("{}", 2, 0, 0) == 0; }'; then
    line costs 'found cJSON: moe cost reads config.json and GGUF'
    make_var 'CJSON_FLAGS = -DMOE_CJSON'
    make_var 'CJSON_LIBS = -lcjson'
else line costs "cJSON not found: moe cost reads GGUF alone ('make setup' installs it)"; fi

viz_cflags=$(pkg-config --cflags sdl2 cairo 2>/dev/null || echo '-I/usr/include/SDL2 -I/usr/include/cairo')
viz_libs=$(pkg-config --libs sdl2 cairo fontconfig 2>/dev/null || pkg-config --libs sdl2 cairo 2>/dev/null || echo '-lSDL2 -lcairo -lfontconfig')
if [ -n "${NO_VIZ:-}" ]; then
    line window 'switched off with NO_VIZ=1: no moe-viz'
elif probe viz "$viz_cflags $viz_libs" '#define SDL_MAIN_HANDLED
#include <SDL.h>
#include <cairo.h>
int main(void) { return cairo_version() < 1 || SDL_WasInit(0) != 0; }'; then
    line window 'found SDL2 and cairo'
    make_var 'VIZ = 1'
    make_var "VIZ_CFLAGS = $viz_cflags"
    make_var "VIZ_LIBS = $viz_libs"
else
    line window "SDL2 or cairo not found: everything but moe-viz is built ('make setup' installs them)"
fi

if [ -n "${NO_FFMPEG:-}" ]; then line films 'switched off with NO_FFMPEG=1'
elif command -v ffmpeg >/dev/null 2>&1; then
    line films 'found ffmpeg'
    make_var 'FFMPEG = 1'
else line films 'ffmpeg not found: pictures, no films'; fi

if probe cmocka '-lcmocka' '#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
int main(void) { assert_int_equal(1, 1); return 0; }'; then
    line tests 'found cmocka'
    make_var 'CMOCKA = 1'
else line tests "cmocka not found: no 'make test' ('make setup' installs it)"; fi

# A GPU's kernels are built where nvcc can build and link a program; whether there is a GPU is asked when one is wanted.
nvcc=${NVCC:-$(command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; })}
if [ -n "${NO_CUDA:-}" ]; then line GPU 'switched off with NO_CUDA=1'
elif [ "${CUDA:-}" = emulated ]; then
    line GPU 'emulated on the processor (CUDA=emulated)'
    make_var 'CUDA_LIBS = -lstdc++'
elif [ -n "${SAN:-}" ]; then line GPU 'not in a build with sanitizers (CUDA=emulated is)'
elif [ -z "$nvcc" ]; then line GPU 'nvcc not found: CPU only'
else
    toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")") cuda_libs=
    for lib in "$toolkit/lib64" "$toolkit/lib" "$toolkit"/targets/*/lib /usr/lib/x86_64-linux-gnu; do
        if [ -f "$lib/libcudart_static.a" ]; then cuda_libs="-L$lib -lcudart_static -ldl -lrt -lpthread"; break; fi
    done
    if [ -n "$cuda_libs" ] && probe cuda "$cuda_libs" 'extern int cudaGetDeviceCount(int *);
int main(void) { int n; return cudaGetDeviceCount(&n) == 1; }'; then
        line GPU "found nvcc $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
        make_var 'CUDA ?= 1'
        make_var "NVCC = $nvcc"
        make_var "CUDA_LIBS = $cuda_libs"
        cublas="-L$lib -Wl,-rpath,$lib -lcublas"
        if probe cublas "-I$toolkit/include $cublas" '#include <cublas_v2.h>
int main(void) { cublasHandle_t handle; return cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS; }'; then
            line cuBLAS "found, for comparison in 'make bench-cuda'"
            make_var "CUBLAS_LIBS = $cublas"
        else line cuBLAS "not found: 'make bench-cuda' has no rate to compare with"; fi
    else line GPU "nvcc is here, but no program links with its runtime ($BUILD/probes/cuda.log): CPU only"; fi
fi

if command -v "$PYTHON" >/dev/null 2>&1 && "$PYTHON" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") and u.find_spec("transformers")))' 2>/dev/null; then
    line PyTorch "found, for comparison in 'make bench'"
else line PyTorch "not found: 'make bench' measures this engine alone"; fi

mv "$mk.part" "$mk"
mv "$txt.part" "$txt"
