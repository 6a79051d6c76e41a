# The lessons. `make lessons` lists them; lessons/list.txt names for each the folder and the function that its exercise replaces.
#
# How an exercise takes a stage's place: the engine's file is compiled once more behind a generated header, `#pragma weak FUNCTION`. The
# learner's own definition then wins at link time, also for calls inside the same file; whatever else the file holds stays the engine's.
# With no exercise linked, the weak function is the engine's own.
#
#   $(OBJ)/lessons/NN/lesson      the program of the lesson
#   $(OBJ)/lessons/NN/figure      draws its figure.svg
#   $(OBJ)/lessons/NN/check       the check on EXERCISE=file.c, otherwise on lessons/NN_name/exercise.c
#   $(OBJ)/lessons/NN/engine, stub, wrong_*      the same check on the engine's own function, the exercise as it comes, and tests/lessons/wrong
LESSON_ROWS := $(shell sed -n '/^[0-9]/{s/ /,/g;p;}' lessons/list.txt)
lesson_field = $(subst $(comma), ,$(word $(2),$(subst |, ,$(subst ||,|-|,$(subst ||,|-|,$(1)|)))))
LESSON_CFLAGS = -Wno-error -Wno-conversion -Wno-unused-parameter -Wno-missing-prototypes
export LESSONS_OBJ = $(OBJ)/lessons

.PHONY: lessons test-lessons lesson-NN check-NN hint-NN watch-NN
lessons: ## list the lessons, their questions, and what you have done
	@sh tools/lessons.sh $(BUILD) list
lesson-NN: ## run a lesson's program, such as lesson-01
check-NN: ## try your exercise in the engine's place (EXERCISE=file.c for a file of your own)
hint-NN: ## a hint for the exercise, one more at each call
watch-NN: ## see the engine run with your exercise: the window, or without a display a picture
lesson-NN check-NN hint-NN watch-NN:
	@sh tools/lessons.sh $(BUILD) unknown $@
lesson-% check-% hint-% watch-% test-lesson-% figure-%:
	@sh tools/lessons.sh $(BUILD) unknown $@

# $(1) number · $(2) folder · $(3) engine files · $(4) functions
define LESSON_PROGRAM
.PHONY: lesson-$(1) hint-$(1)
lesson-$(1): $(OBJ)/lessons/$(1)/lesson
	@$$<
hint-$(1):
	@sh tools/lessons.sh $(BUILD) hint $(1)
$(OBJ)/lessons/$(1)/lesson: $(OBJ)/lessons/$(2)/lesson.o $(OBJ)/lessons/common/show.o $(OBJ)/libmoe.a $(BUILD)/linked
	$$(Q)mkdir -p $$(@D)
	$$(link) $$(ALL_LDLIBS)
LESSON_TESTS += $(OBJ)/lessons/$(1)/lesson
LESSON_OBJECTS += $(OBJ)/lessons/$(2)/lesson.o
endef

define LESSON_FIGURE
.PHONY: figure-$(1)
figure-$(1): $(OBJ)/lessons/$(1)/figure
	@$$< lessons/$(2)/figure.svg
$(OBJ)/lessons/$(2)/figure.o: private ALL_CFLAGS += $(VIZ_CFLAGS)
$(OBJ)/lessons/$(1)/figure: $(OBJ)/lessons/$(2)/figure.o $(OBJ)/lessons/common/figure.o $(OBJ)/lessons/common/show.o $(OBJ)/libmoe.a $(BUILD)/linked
	$$(Q)mkdir -p $$(@D)
	$$(link) $$(VIZ_LIBS) $$(ALL_LDLIBS)
LESSON_FIGURES += figure-$(1)
LESSON_TESTS += $(OBJ)/lessons/$(1)/figure
LESSON_OBJECTS += $(OBJ)/lessons/$(2)/figure.o
endef

define LESSON_CHECK
.PHONY: check-$(1) watch-$(1)
check-$(1): $(OBJ)/lessons/$(1)/check
	@sh tools/lessons.sh $(BUILD) check $(1) $$<
watch-$(1): $(OBJ)/lessons/$(1)/$(if $(and $(WINDOW),$(filter-out src/cost/%,$(firstword $(3)))),moe-viz,moe)
	@sh tools/lessons.sh $(BUILD) watch $(1) $$<
$(OBJ)/lessons/$(1)/weak.h: lessons/list.txt
	@mkdir -p $$(@D) && printf '#pragma weak %s\n' $(4) >$$@
LESSON_WEAK_$(1) := $(patsubst %.c,$(OBJ)/lessons/$(1)/%.o,$(3))
$$(LESSON_WEAK_$(1)): $(OBJ)/lessons/$(1)/%.o: %.c $(OBJ)/lessons/$(1)/weak.h $(OBJ)/flags
	$$(Q)mkdir -p $$(@D) $$(if $$(V),,&& echo '  CC   $$< (the engine, for all but $(strip $(4)))') && \
	    $$(CC) $$(ALL_CFLAGS) -MMD -MP -include $(OBJ)/lessons/$(1)/weak.h -c -o $$@ $$<
LESSON_ON_$(1) := $$(LESSON_WEAK_$(1)) $(OBJ)/tests/lessons/check_$(1).o $(OBJ)/tests/lessons/check.o $(OBJ)/libmoe.a $(BUILD)/linked

$(OBJ)/lessons/$(1)/yours.o: $(OBJ)/flags FORCE
	@[ -f $$(or $$(EXERCISE),lessons/$(2)/exercise.c) ] || { echo 'there is no file $$(EXERCISE): EXERCISE=file.c names what to check'; exit 1; }
	@mkdir -p $$(@D) && echo '  CC   $$(or $$(EXERCISE),lessons/$(2)/exercise.c) (yours)' && \
	    $$(CC) $$(ALL_CFLAGS) $(LESSON_CFLAGS) -c -o $$@ $$(or $$(EXERCISE),lessons/$(2)/exercise.c)
$(OBJ)/lessons/$(1)/check: $(OBJ)/lessons/$(1)/yours.o $$(LESSON_ON_$(1))
	@$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(ALL_LDLIBS)
$(OBJ)/lessons/$(1)/moe-viz: $(OBJ)/viz/main.o $(OBJ)/lessons/$(1)/yours.o $$(LESSON_WEAK_$(1)) $(OBJ)/libviz.a $(OBJ)/libcli.a $(OBJ)/libmoe.a $(BUILD)/linked
	$$(link) $$(VIZ_LIBS) $$(ALL_LDLIBS)
$(OBJ)/lessons/$(1)/moe: $(OBJ)/src/cli/main.o $(CLI) $(OBJ)/lessons/$(1)/yours.o $$(LESSON_WEAK_$(1)) $(OBJ)/libmoe.a $(BUILD)/linked
	$$(link) $$(ALL_LDLIBS)

$(OBJ)/lessons/$(1)/engine: $$(LESSON_ON_$(1))
	$$(link) $$(ALL_LDLIBS)
$(OBJ)/lessons/$(1)/stub: $(OBJ)/lessons/$(2)/exercise.o $$(LESSON_ON_$(1))
	$$(link) $$(ALL_LDLIBS)
LESSON_WRONG_$(1) := $(patsubst tests/lessons/wrong/$(1)_%.c,$(OBJ)/lessons/$(1)/wrong_%,$(wildcard tests/lessons/wrong/$(1)_*.c))
$$(LESSON_WRONG_$(1)): $(OBJ)/lessons/$(1)/wrong_%: $(OBJ)/tests/lessons/wrong/$(1)_%.o $$(LESSON_ON_$(1))
	$$(link) $$(ALL_LDLIBS)
$(OBJ)/lessons/$(2)/exercise.o $$(LESSON_WRONG_$(1):$(OBJ)/lessons/$(1)/wrong_%=$(OBJ)/tests/lessons/wrong/$(1)_%.o): private ALL_CFLAGS += $(LESSON_CFLAGS)
LESSON_TESTS += $$(addprefix $(OBJ)/lessons/$(1)/,engine stub) $$(LESSON_WRONG_$(1))
LESSON_OBJECTS += $(OBJ)/tests/lessons/check_$(1).o $(OBJ)/lessons/$(2)/exercise.o $$(LESSON_WEAK_$(1))
LESSON_OBJECTS += $$(LESSON_WRONG_$(1):$(OBJ)/lessons/$(1)/wrong_%=$(OBJ)/tests/lessons/wrong/$(1)_%.o)
endef

define LESSON_TEST
.PHONY: test-lesson-$(1)
test-lesson-$(1): $$(filter $(OBJ)/lessons/$(1)/%,$$(LESSON_TESTS))
	@LESSONS=$(1) MOE=$(BUILD)/moe BUILD=$(BUILD) sh tests/lessons.sh
endef

# A part that is not there makes no target; what a lesson must have is for tests/lessons.sh to say.
there = $(filter $(words $(1)),$(words $(wildcard $(1))))
lesson_rules = $(if $(wildcard lessons/$(2)/lesson.c),$(eval $(call LESSON_PROGRAM,$(1),$(2)))) \
	$(if $(and $(VIZ),$(wildcard lessons/$(2)/figure.c)),$(eval $(call LESSON_FIGURE,$(1),$(2)))) \
	$(if $(and $(wildcard lessons/$(2)/exercise.c),$(wildcard tests/lessons/check_$(1).c),$(filter-out -,$(4)),$(call there,$(3))), \
	$(eval $(call LESSON_CHECK,$(1),$(2),$(3),$(4)))) $(eval $(call LESSON_TEST,$(1)))
LESSON_TESTS :=
LESSON_FIGURES :=
LESSON_OBJECTS := $(OBJ)/lessons/common/show.o $(OBJ)/tests/lessons/check.o $(if $(VIZ),$(OBJ)/lessons/common/figure.o)
$(OBJ)/lessons/common/figure.o: private ALL_CFLAGS += $(VIZ_CFLAGS)
$(foreach row,$(LESSON_ROWS),$(call lesson_rules,$(call lesson_field,$(row),1),$(call lesson_field,$(row),2),$(call lesson_field,$(row),4),$(call lesson_field,$(row),5)))

.PHONY: lesson-programs
lesson-programs: $(LESSON_TESTS)
test-lessons: lesson-programs ## the lessons' own tests, past failures (test-lesson-NN for one of them)
	@MOE=$(BUILD)/moe BUILD=$(BUILD) sh tests/lessons.sh
-include $(LESSON_OBJECTS:.o=.d)
