# moe.c. `make help` lists the targets, `make setup run` is the short way in.
#   CC=clang  OPT=-O1  SAN=address,undefined  NO_OMP=1  NO_VIZ=1  NO_CUDA=1  CUDA=emulated  PREFIX=/usr  WERROR= (warnings stay warnings)  V=1 (full commands)
BUILD ?= build
PREFIX ?= /usr/local
OPT ?= -O2
WERROR ?= -Werror
PYTHON ?= python3
ifeq ($(origin CC),default)
CC = cc
endif

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -r --no-print-directory -j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
endif
.DEFAULT_GOAL := all
comma := ,
Q = $(if $(V),,@)

# ---- setup and clean come first, alone: what follows them in the goals starts in a new make, which then finds what setup installed ----
FIRST := $(filter setup clean,$(MAKECMDGOALS))
REST := $(filter-out setup clean,$(MAKECMDGOALS))
.PHONY: setup clean help
setup: ## install what is missing to build (Debian, Ubuntu); elsewhere name the packages
	@sh tools/setup.sh
clean: ## remove everything that was built; what you have done of the lessons stays noted
	@if [ -d $(BUILD) ]; then find $(BUILD) -mindepth 1 -maxdepth 1 ! -name 'lessons.*' -exec rm -rf {} + && { rmdir $(BUILD) 2>/dev/null || :; }; fi
help: ## this list
	@awk -F ':.*## ' '/^[a-zN-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile lessons/lessons.mk
ifneq ($(and $(FIRST),$(REST)),)
.PHONY: $(REST)
$(REST): $(FIRST)
	@$(if $(filter $@,$(firstword $(REST))),+$(MAKE) $(REST),:)
else ifneq ($(or $(filter-out setup clean help uninstall,$(MAKECMDGOALS)),$(if $(MAKECMDGOALS),,all)),)

# ---- what this machine has: tools/detect.sh links a probe for each part and writes parts.mk (for make) and parts.txt (for people) ----
ASKED := $(foreach name,BUILD CC CXX NVCC PYTHON SAN NO_OMP NO_VIZ NO_CUDA CUDA NO_FFMPEG,$(name)='$($(name))')
DETECTED := $(shell $(ASKED) sh tools/detect.sh)
ifneq ($(DETECTED),)
$(error $(DETECTED))
endif
include $(BUILD)/parts.mk
ifneq ($(if $(CMOCKA),,$(filter test test-programs test-sanitize test-threads test-mutants test-cuda test-cuda-emulated,$(MAKECMDGOALS))),)
$(error cmocka was not found, and tests need it: 'make setup' installs it)
endif

# ---- flags ----
# -ffp-contract=off: a*b+c is two roundings in the reference whatever the compiler; fast kernels ask for FMA by name.
# -fno-math-errno: nobody reads errno after sqrt, and a root that need not set it vectorises (AdamW). It changes no bit.
WARN = -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith $(WERROR)
SANITIZE = $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined))
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -g $(OPT) -ffp-contract=off -fno-math-errno $(WARN) -Isrc -I. $(OMP_FLAGS) $(SANITIZE) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(OMP_LINK) $(SANITIZE) $(LDFLAGS)
ALL_LDLIBS = -lutf8proc $(CJSON_LIBS) $(CUDA_LIBS) -lm $(LDLIBS)
OBJ = $(BUILD)/obj$(if $(SAN),-$(subst $(comma),-,$(SAN)))

# ---- sources: every .c of a folder belongs to it ----
LIB_SOURCES := $(wildcard src/base/*.c src/moe/*.c src/fast/*.c src/gguf/*.c src/trace/*.c src/model/*.c src/train/*.c src/cost/*.c)
# src/cuda: nvcc's for a GPU (CUDA=1, where it was found), a C++ compiler's with the emulator (CUDA=emulated), or absent.c alone, which says so.
# The kernels compute in float whatever `real` is, so both libraries hold the same objects; model*.c, which read a Model, belong to the float one.
CUDA_SOURCES := $(if $(CUDA),$(wildcard src/cuda/*.cu src/cuda/products/*.cu src/cuda/experts/*.cu))
CUDA_OBJECTS = $(CUDA_SOURCES:%.cu=$(OBJ)/%.o) $(if $(CUDA),$(patsubst %.c,$(OBJ)/%.o,$(filter-out %/absent.c %/model.c %/model_trace.c,$(wildcard src/cuda/*.c)))) \
	$(if $(filter emulated,$(CUDA)),$(patsubst %.cpp,$(OBJ)/%.o,$(wildcard src/cuda/emulator/*.cpp)))
CUDA_ABSENT = $(shell sed -n 's/^  GPU *//p' $(BUILD)/parts.txt)
CUDA_MODEL = $(patsubst %.c,$(OBJ)/%.o,$(wildcard $(if $(CUDA),src/cuda/model.c src/cuda/model_trace.c,src/cuda/absent.c)))
LIB = $(LIB_SOURCES:%.c=$(OBJ)/%.o) $(CUDA_OBJECTS) $(CUDA_MODEL)
DOUBLE = $(LIB_SOURCES:%.c=$(OBJ)/double/%.o) $(CUDA_OBJECTS)
CLI = $(patsubst %.c,$(OBJ)/%.o,$(filter-out src/cli/main.c,$(wildcard src/cli/*.c)))
# The scene is plain C and is built and tested everywhere; files that include SDL or cairo only where both were found.
VIZ_PLAIN := $(shell grep -L -e '^ *. *include <\(SDL\|cairo\)' -e '^ *. *include "viz/\(events\|fonts\)\.h' $(wildcard viz/*.c) /dev/null | grep -v -e '^viz/main.c' -e '^/dev')
VIZ_LIB = $(patsubst %.c,$(OBJ)/%.o,$(filter-out viz/main.c,$(if $(VIZ),$(wildcard viz/*.c),$(VIZ_PLAIN))))
CORPUS = $(patsubst %.c,$(OBJ)/%.o,$(wildcard data/corpus/*.c))
CORPUS_TEXT = $(filter-out %/main.o,$(CORPUS)) # the generator itself: the window trains on its text
WINDOW := $(and $(VIZ),$(wildcard viz/main.c))

# tests/test_*.c: float; tests/double_*.c: the whole library with real = double; tests/viz_*.c: what draws with cairo
TESTS = $(patsubst tests/%.c,$(OBJ)/%,$(wildcard tests/test_*.c))
WINDOW_TESTS = $(if $(VIZ),$(patsubst tests/%.c,$(OBJ)/%,$(wildcard tests/viz_*.c)))
DOUBLE_TESTS = $(patsubst tests/%.c,$(OBJ)/%,$(wildcard tests/double_*.c))
SCRIPTS = $(wildcard tests/*.sh)
FUZZERS = $(patsubst tests/fuzz/%.c,$(OBJ)/%,$(wildcard tests/fuzz/fuzz_*.c))

PROGRAMS = $(BUILD)/moe $(if $(WINDOW),$(BUILD)/moe-viz) $(if $(CORPUS),$(BUILD)/corpus)

.PHONY: programs all
all: programs ## build everything that this machine can build, and say what that is
	@cat $(BUILD)/parts.txt
programs: $(PROGRAMS) $(BUILD)/moe.1 $(BUILD)/completions/moe.bash

# ---- changed flags, compiler or list of files: a stamp file changes, and what depends on it is made again ----
FORCE:
stamp = @mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' >$@
$(OBJ)/flags: FORCE
	$(call stamp,$(CC) $(ALL_CFLAGS) $(VIZ_CFLAGS) $(CJSON_FLAGS) $(CUDA_COMPILE))
$(OBJ)/files: FORCE
	$(call stamp,$(LIB) $(CLI) $(VIZ_LIB) $(CORPUS) $(CUDA_BENCH))
$(BUILD)/linked: FORCE
	$(call stamp,$(OBJ) $(CC) $(ALL_LDFLAGS) $(ALL_LDLIBS) $(VIZ_LIBS) $(CUBLAS_LIBS))

# ---- objects, libraries, programs ----
compile = $(Q)mkdir -p $(@D) $(if $(V),,&& echo '  CC   $<') && $(CC) $(ALL_CFLAGS) -MMD -MP
link = $(if $(V),,@echo '  LINK $@'; )$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^)
archive = $(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)
$(OBJ)/double/%.o: %.c $(OBJ)/flags
	$(compile) -DMOE_DOUBLE -c -o $@ $<
$(OBJ)/src/cost/json.o $(OBJ)/double/src/cost/json.o: private ALL_CFLAGS += $(CJSON_FLAGS)
$(OBJ)/src/cli/bench_cuda.o $(OBJ)/src/cli/bench_cuda_layer.o: private ALL_CFLAGS += $(if $(CUDA),-DMOE_CUDA)
$(OBJ)/viz/%.o $(OBJ)/tests/viz/%.o: private ALL_CFLAGS += $(VIZ_CFLAGS)
$(OBJ)/%.o: %.c $(OBJ)/flags
	$(compile) -c -o $@ $<
CUDA_ARCH ?= -gencode arch=compute_75,code=sm_75 -gencode arch=compute_80,code=[sm_80,compute_80] -gencode arch=compute_90a,code=sm_90a
# No contraction here either: a*b+c is two roundings unless a kernel asks for fmaf.
CUDA_COMPILE_1 = $(NVCC) -std=c++17 -O3 -lineinfo -fmad=false $(CUDA_ARCH) $(if $(WERROR),-Werror all-warnings) -Xcompiler -Wall,-Wextra,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics -I. -Isrc
CUDA_COMPILE_emulated = $(CXX) -x c++ -std=c++17 -g $(OPT) -ffp-contract=off -Wall -Wextra -Wno-psabi $(WERROR) -DMOE_CUDA_EMULATED -I. -Isrc -Isrc/cuda/emulator $(SANITIZE)
CUDA_COMPILE = $(if $(CUDA),$(CUDA_COMPILE_$(CUDA)))
# That it makes wgmma's products wait for each other, or ignores setmaxnreg, ptxas only remarks (C75..), which no -Werror counts. Here it is an error.
$(OBJ)/%.o: %.cu $(OBJ)/flags
	$(Q)mkdir -p $(@D) $(if $(V),,&& echo '  CUDA $<') && $(CUDA_COMPILE) -MMD -MP -MF $(@:.o=.d) -c -o $@ $< 2>$@.log; \
	status=$$?; cat $@.log >&2; if grep -q '(C75[0-9][0-9])' $@.log; then status=1; rm -f $@; fi; rm -f $@.log; exit $$status
$(OBJ)/src/cuda/emulator/%.o: src/cuda/emulator/%.cpp $(OBJ)/flags
	$(Q)mkdir -p $(@D) $(if $(V),,&& echo '  C++  $<') && $(CUDA_COMPILE) -MMD -MP -c -o $@ $<
$(OBJ)/libmoe.a: $(LIB) $(OBJ)/files
	$(archive)
$(OBJ)/libmoe-double.a: $(DOUBLE) $(OBJ)/files
	$(archive)
$(OBJ)/libcli.a: $(CLI) $(OBJ)/files
	$(archive)
$(OBJ)/libviz.a: $(VIZ_LIB) $(CORPUS_TEXT) $(OBJ)/files
	$(archive)

$(BUILD)/moe: $(OBJ)/src/cli/main.o $(CLI) $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) $(ALL_LDLIBS)
$(BUILD)/moe-viz: $(OBJ)/viz/main.o $(OBJ)/libviz.a $(OBJ)/libcli.a $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) $(VIZ_LIBS) $(ALL_LDLIBS)
$(BUILD)/corpus: $(CORPUS) $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) $(ALL_LDLIBS)

# The man page's flags and the completions come from the tables that the program itself reads.
$(BUILD)/moe.1: docs/moe.1 tools/manual.sh $(filter %/moe %/moe-viz,$(PROGRAMS))
	$(Q)sh tools/manual.sh $(BUILD)/moe docs/moe.1 $(filter %/moe-viz,$^) >$@.part && mv $@.part $@
$(BUILD)/completions/moe.bash: tools/completions.sh $(filter %/moe %/moe-viz,$(PROGRAMS))
	$(Q)mkdir -p $(@D) && sh tools/completions.sh $(BUILD)/moe $(@D) $(filter %/moe-viz,$^)

# What a GPU reaches: a program of its own, for cuBLAS is linked into it where it was found, and never into moe.
CUDA_BENCH = $(patsubst %.c,$(OBJ)/%.o,$(filter-out %/cublas_absent.c,$(wildcard src/cuda/bench/*.c))) $(OBJ)/src/cuda/bench/$(if $(CUBLAS_LIBS),cublas,cublas_absent).o
$(BUILD)/bench-cuda: $(CUDA_BENCH) $(OBJ)/libcli.a $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) $(CUBLAS_LIBS) $(ALL_LDLIBS)

# ---- tests ----
# A thread that waits sleeps instead of spinning: on a busy machine spinning costs several times the work.
export OMP_WAIT_POLICY ?= passive
# A test asks for more memory than there is and wants NULL back, as without the sanitizer.
export ASAN_OPTIONS ?= allocator_may_return_null=1
$(OBJ)/%.o: tests/%.c $(OBJ)/flags
	$(compile) -c -o $@ $<
$(DOUBLE_TESTS:%=%.o): $(OBJ)/%.o: tests/%.c $(OBJ)/flags
	$(compile) -DMOE_DOUBLE -c -o $@ $<
$(WINDOW_TESTS:%=%.o): private ALL_CFLAGS += $(VIZ_CFLAGS)
$(TESTS): $(OBJ)/%: $(OBJ)/%.o $(OBJ)/libviz.a $(OBJ)/libcli.a $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) -lcmocka $(ALL_LDLIBS)
$(DOUBLE_TESTS): $(OBJ)/%: $(OBJ)/%.o $(OBJ)/libmoe-double.a $(BUILD)/linked
	$(link) -lcmocka $(ALL_LDLIBS)
$(WINDOW_TESTS): $(OBJ)/%: $(OBJ)/%.o $(OBJ)/libviz.a $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) -lcmocka $(VIZ_LIBS) $(ALL_LDLIBS)

.PHONY: test test-programs test-sanitize test-threads test-mutants test-interop fuzz golden
include lessons/lessons.mk
test-programs: $(TESTS) $(WINDOW_TESTS) $(DOUBLE_TESTS) $(LESSON_TESTS)
test: programs test-programs ## run every test; the last line is `N passed, N failed`
	@$(if $(VIZ),,echo 'SKIP tests/viz_*.c: no SDL2 and cairo here';) \
	sh tools/run_tests.sh $(BUILD) $(sort $(TESTS) $(WINDOW_TESTS) $(DOUBLE_TESTS)) $(sort $(SCRIPTS))
test-sanitize: ## the tests again under the address and undefined-behaviour sanitizers, in build/sanitize
	@$(MAKE) BUILD=$(BUILD)/sanitize SAN=address,undefined OPT=-O1 test
test-threads: ## the tests again under clang's thread sanitizer, in build/threads
	@TSAN_OPTIONS="ignore_noninstrumented_modules=1 allocator_may_return_null=1" $(MAKE) BUILD=$(BUILD)/threads CC=clang SAN=thread OPT=-O1 test
# tests/cuda: test_*.c in float, double_*.c against the whole library in double. On a GPU, or thread by thread on the processor.
CUDA_TESTS = $(patsubst tests/cuda/%.c,$(OBJ)/cuda/%,$(wildcard tests/cuda/test_*.c))
CUDA_DOUBLE_TESTS = $(patsubst tests/cuda/%.c,$(OBJ)/cuda/%,$(wildcard tests/cuda/double_*.c))
$(CUDA_TESTS:%=%.o) $(OBJ)/cuda/gpu.o: $(OBJ)/cuda/%.o: tests/cuda/%.c $(OBJ)/flags
	$(compile) $(if $(filter emulated,$(CUDA)),-DMOE_CUDA_EMULATED) -c -o $@ $<
$(CUDA_DOUBLE_TESTS:%=%.o): $(OBJ)/cuda/%.o: tests/cuda/%.c $(OBJ)/flags
	$(compile) $(if $(filter emulated,$(CUDA)),-DMOE_CUDA_EMULATED) -DMOE_DOUBLE -c -o $@ $<
$(CUDA_TESTS) $(OBJ)/cuda/gpu: %: %.o $(OBJ)/libcli.a $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) -lcmocka $(ALL_LDLIBS)
$(CUDA_DOUBLE_TESTS): %: %.o $(OBJ)/libmoe-double.a $(BUILD)/linked
	$(link) -lcmocka $(ALL_LDLIBS)
.PHONY: test-cuda test-cuda-emulated
ifeq ($(CUDA),)
test-cuda: ## verify the GPU's kernels against the reference in double
	@echo "SKIP the GPU's tests: $(CUDA_ABSENT) (make test-cuda-emulated runs the kernels on the processor)"
else
test-cuda: programs $(CUDA_TESTS) $(CUDA_DOUBLE_TESTS) $(OBJ)/cuda/gpu $(BUILD)/bench-cuda
	@if $(OBJ)/cuda/gpu; then sh tools/run_tests.sh $(BUILD) $(sort $(CUDA_TESTS) $(CUDA_DOUBLE_TESTS)) $(wildcard tests/cuda/*.sh); fi
endif
test-cuda-emulated: ## the same on the processor, thread by thread: no GPU and no toolkit needed
	@$(MAKE) CUDA=emulated BUILD=$(BUILD)/emulated test-cuda
test-mutants: test-programs ## plant each fault of tests/mutants and see its test catch it
	@sh tools/mutants.sh $(BUILD)
test-interop: programs ## hold this engine against llama.cpp and transformers (PYTHON=... with them installed)
	@sh tools/interop.sh $(BUILD)/moe $(PYTHON)
golden: ## make the golden data again (PYTHON=... with the packages of tests/golden/requirements.txt)
	$(PYTHON) tests/golden/make_golden.py
	$(PYTHON) tests/golden/make_cost.py
FUZZ_SECONDS ?= 600
fuzz: ## libFuzzer over reading and running a model, FUZZ_SECONDS=600 (clang)
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined NO_OMP=1 fuzz-run
.PHONY: fuzz-run
fuzz-run: $(OBJ)/make_tiny $(FUZZERS)
	@sh tools/fuzz.sh $(FUZZ_SECONDS) $(BUILD)/found $^
$(OBJ)/make_tiny: $(OBJ)/make_tiny.o $(OBJ)/libmoe.a $(BUILD)/linked
	$(link) $(ALL_LDLIBS)
$(FUZZERS): $(OBJ)/%: tests/fuzz/%.c $(OBJ)/libmoe.a
	$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(OBJ)/libmoe.a $(ALL_LDLIBS)

SOAK_SECONDS ?= 1800
soak-viz: ## random input for the window under the address sanitizer, SOAK_SECONDS=1800 (SOAK_SEED=N: again the same)
	@$(MAKE) BUILD=$(BUILD)/soak SAN=address OPT=-O1 soak-viz-run
.PHONY: soak-viz soak-viz-run
soak-viz-run: $(BUILD)/moe-viz
	@sh tools/soak_viz.sh $(BUILD)/moe-viz $(SOAK_SECONDS) $(SOAK_SEED)

# ---- using it ----
TEXT ?= Little Ida has a red kite on the hill.
.PHONY: run bench bench-cuda bench-viz model judge figures lint install uninstall
run: programs ## open the window on TEXT="..."; without a display, draw a picture and a film
	@sh tools/run.sh $(BUILD) '$(subst ','\'',$(TEXT))'
bench: programs ## measure every variant, verified first, beside this machine's limits; and PyTorch where it is installed
	@$(BUILD)/moe bench --torch $(PYTHON)
ifeq ($(CUDA),)
bench-cuda: ## measure a GPU, verified first, beside cuBLAS and a copy: docs/gpu_results.* and their picture
	@echo "SKIP the GPU's measurements: $(CUDA_ABSENT); with the CUDA toolkit and a GPU 'make bench-cuda' takes minutes"
else
BENCH_CUDA_INTO = $(if $(filter emulated,$(CUDA)),$(BUILD)/bench-cuda.out,docs)
bench-cuda: $(BUILD)/bench-cuda
	@mkdir -p $(BENCH_CUDA_INTO) && $(BUILD)/bench-cuda $(BENCH_CUDA_INTO)
endif
bench-viz: $(BUILD)/moe-viz ## time the window's frames and the opening of a large trace (FRAMES=600)
	@$(BUILD)/moe-viz --bench-frames $(or $(FRAMES),600)
model: programs ## train the shipped model and its two dense twins from scratch
	@sh tools/model.sh $(BUILD)
judge: programs ## measure what the models write (Python 3; SAMPLES=300)
	@sh tools/judge.sh $(BUILD) $(PYTHON)
figures: programs $(LESSON_FIGURES) ## draw the pictures of the README and of the lessons again
	@sh tools/figures.sh $(BUILD)
lint: ## formatting and a static look (clang-format, clang-tidy where installed)
	@sh tools/lint.sh

# ---- install: programs, the shipped model, man page, completions ----
TO = $(DESTDIR)$(PREFIX)
install: programs ## install under PREFIX=/usr/local (DESTDIR is honoured)
	install -d $(TO)/bin $(TO)/share/moe.c $(TO)/share/man/man1
	install -m 755 $(filter %/moe %/moe-viz,$(PROGRAMS)) $(TO)/bin
	$(if $(wildcard data/*.gguf),install -m 644 $(wildcard data/*.gguf data/*.csv) $(TO)/share/moe.c)
	install -d $(TO)/share/moe.c/models
	install -m 644 data/models/*.json $(TO)/share/moe.c/models
	install -m 644 $(BUILD)/moe.1 $(TO)/share/man/man1
	install -D -m 644 $(BUILD)/completions/moe.bash $(TO)/share/bash-completion/completions/moe
	install -D -m 644 $(BUILD)/completions/_moe $(TO)/share/zsh/site-functions/_moe
	install -D -m 644 $(BUILD)/completions/moe.fish $(TO)/share/fish/vendor_completions.d/moe.fish
-include $(patsubst %.o,%.d,$(LIB) $(DOUBLE) $(CLI) $(VIZ_LIB) $(CORPUS) $(OBJ)/src/cli/main.o $(OBJ)/viz/main.o $(CUDA_BENCH))
-include $(patsubst %,%.d,$(TESTS) $(WINDOW_TESTS) $(DOUBLE_TESTS) $(FUZZERS) $(CUDA_TESTS) $(CUDA_DOUBLE_TESTS))
endif

uninstall: ## remove what install installed, under the same PREFIX and DESTDIR
	rm -rf $(DESTDIR)$(PREFIX)/share/moe.c
	cd $(DESTDIR)$(PREFIX) && rm -f bin/moe bin/moe-viz share/man/man1/moe.1 share/bash-completion/completions/moe \
	  share/zsh/site-functions/_moe share/fish/vendor_completions.d/moe.fish
