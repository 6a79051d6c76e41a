# moe.c: `make help` lists what can be made.
BUILD ?= build
CC ?= cc
PREFIX ?= /usr/local
OPT ?= -O2
SAN ?=

WARN = -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Werror
# -ffp-contract=off: a*b+c is two roundings in the reference whatever the compiler; fast kernels ask for FMA by name.
# -fno-math-errno: nobody here reads errno after sqrt, and a root that need not set it vectorises (AdamW). It changes no bit.
BASE_CFLAGS = -std=c11 -D_GNU_SOURCE -g $(OPT) -ffp-contract=off -fno-math-errno $(WARN) -Isrc -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
BASE_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN))
BASE_LDLIBS = -lm -lutf8proc

ifndef NO_OMP
BASE_CFLAGS += -fopenmp
BASE_LDFLAGS += -fopenmp
else
BASE_CFLAGS += -Wno-unknown-pragmas
endif

OBJ = $(BUILD)/obj$(if $(SAN),-$(subst $(comma),-,$(SAN)))
comma := ,

LIB_SOURCES = $(wildcard src/base/*.c src/moe/*.c src/fast/*.c src/gguf/*.c src/trace/*.c src/model/*.c src/train/*.c)
LIB_OBJECTS = $(LIB_SOURCES:%.c=$(OBJ)/%.o)
DOUBLE_OBJECTS = $(LIB_SOURCES:%.c=$(OBJ)/double/%.o)
CLI_OBJECTS = $(patsubst %.c,$(OBJ)/%.o,$(wildcard src/cli/*.c))
# tests/test_*.c: float; tests/double_*.c: the whole library with real = double
TESTS = $(patsubst tests/%.c,$(OBJ)/%,$(wildcard tests/test_*.c))
DOUBLE_TESTS = $(patsubst tests/%.c,$(OBJ)/%,$(wildcard tests/double_*.c))

all: $(BUILD)/moe

$(BUILD)/moe: $(CLI_OBJECTS) $(OBJ)/libmoe.a
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(BASE_LDLIBS) $(LDLIBS)

$(OBJ)/libmoe.a: $(LIB_OBJECTS)
	rm -f $@ && $(AR) rcs $@ $^
$(OBJ)/libmoe-double.a: $(DOUBLE_OBJECTS)
	rm -f $@ && $(AR) rcs $@ $^

$(OBJ)/double/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -DMOE_DOUBLE -MMD -MP -c -o $@ $<
$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(TESTS): $(OBJ)/%: tests/%.c $(OBJ)/libmoe.a
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP $(BASE_LDFLAGS) -o $@ $< $(OBJ)/libmoe.a -lcmocka $(BASE_LDLIBS)
$(DOUBLE_TESTS): $(OBJ)/%: tests/%.c $(OBJ)/libmoe-double.a
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -DMOE_DOUBLE -MMD -MP $(BASE_LDFLAGS) -o $@ $< $(OBJ)/libmoe-double.a -lcmocka $(BASE_LDLIBS)

test: $(TESTS) $(DOUBLE_TESTS)
	@for t in $^; do $$t || exit 1; done

clean:
	rm -rf $(BUILD)

.PHONY: all test clean
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
