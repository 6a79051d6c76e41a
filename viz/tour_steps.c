/* tour_steps.c: the tours, as tables. Enters: nothing. Leaves: what each step says, where it goes, what it lights.
 * `intro` is for someone who has never seen a mixture of experts; the numbered ones belong to the lessons and say what the function that the
 * learner wrote decides in this picture. Words in braces are slots of tour_slots.c: every number comes from the trace. */
#include "viz/tour.h"

#define ROUTE_AT(beat) "route layer={at_layer} beat=" #beat
#define ROUTE_FIRST(beat) ROUTE_AT(beat) " token={at_token}"
#define ROUTE_LAST "route layer={last_layer} beat=8"
#define STACK_LAST "stack layer={last_layer} beat=8"

static const TourStep intro[] = {
    {"Text becomes tokens",
     "To guess what comes next, a language model cuts text into small pieces, called tokens, and takes each through {layers} layers, one after the "
     "other. This text has {tokens}; we follow {word} into layer {layer}.",
     ROUTE_FIRST(1),
     {{TAG_TOKEN, LIT_TEXT, 0}},
     TOUR_TOGETHER},
    {"Experts instead of one large network",
     "In an ordinary layer one large network works on every token. Here {experts} smaller ones stand side by side, called experts, and each token "
     "need not use them all.",
     ROUTE_AT(1),
     {{TAG_EXPERT, LIT_ALL, 0}},
     TOUR_EACH},
    {"The router scores them", "{scoring}.", ROUTE_AT(2), {{TAG_PROB, LIT_ALL, 0}}, TOUR_EACH},
    {"{head_chosen}",
     "{sends}. {left_out}. That is what a router is for: it decides which experts work on which token.",
     ROUTE_AT(4),
     {{TAG_PROB, LIT_ALL, 0}, {TAG_EXPERT, LIT_ALL, 0}},
     TOUR_TOGETHER},
    {"{head_added}",
     "{weighing}: {weighted}. {word} takes this sum along through the rest of the model.",
     ROUTE_AT(7),
     {{TAG_PROB, LIT_CHOSEN, 0}, {TAG_EXPERT, LIT_CHOSEN, 0}, {TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
    {"Every layer chooses anew",
     "A row is a layer with a router and experts of its own; the number in a cell says how many tokens chose that expert. White lines lead {word} "
     "through its experts, the thick one through its first choices; between layers the answers are one sum.",
     STACK_LAST,
     {{TAG_HEAT, LIT_ALL, 0}},
     TOUR_TOGETHER},
    {"Saved: work",
     "In each layer {word} used {k} of {experts} experts. The whole text took {flops}; with every expert working it would be {flops_dense}. That is "
     "{times_less} less{rest_note}. (A FLOP is one multiplication or addition.)",
     ROUTE_LAST,
     {{TAG_COUNTER, LIT_NUMBER, 0}, {TAG_COUNTER, LIT_NUMBER, 1}},
     TOUR_EACH},
    {"Not saved: memory",
     "The next token may need any of the {all_experts} experts: {these_tokens} used {touched}. So all weights, the learned numbers, stay in memory: "
     "{bytes} as the file stores them. A Mixture of Experts computes like a small model and is as big as a large one.",
     ROUTE_LAST,
     {{TAG_COUNTER, LIT_NUMBER, 2}, {TAG_COUNTER, LIT_NUMBER, 3}, {TAG_HEAT, LIT_ALL, 0}},
     TOUR_EACH},
};

static const TourStep lesson_01[] = {
    {"Your function runs in here",
     "Each of these {experts} experts is a dense feed-forward network. Whatever is sent to one of them goes through your dense_forward.",
     ROUTE_FIRST(6),
     {{TAG_EXPERT, LIT_ALL, 0}},
     TOUR_EACH},
    {"What it adds to a token",
     "{word} came in with length {came_in}; what your function made of it, weighed and summed, has length {added}. A function that returns zeros "
     "adds 0.",
     ROUTE_AT(8),
     {{TAG_RESIDUAL, LIT_ALL, 0}},
     TOUR_EACH},
};

static const TourStep lesson_02[] = {
    {"An expert gets a batch of its own",
     "{busiest_load} of {tokens} chose {busiest}. Their rows stand side by side, and your dense_rows_forward computes them from the first to the "
     "last.",
     ROUTE_FIRST(5),
     {{TAG_EXPERT, LIT_BUSIEST, 0}},
     TOUR_EACH},
    {"Rows do not meet",
     "The sum for {word} is {weighted}, whoever else was in those batches: no row looks at another.",
     ROUTE_AT(7),
     {{TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
};

static const TourStep lesson_03[] = {
    {"Your logits, as shares",
     "Your router_forward scored {experts} experts for {word}, from {best_logit} for {best} down to {least_logit} for {least}; your "
     "softmax_forward made shares of that: {best_share} and {least_share}.",
     ROUTE_FIRST(2),
     {{TAG_PROB, LIT_ALL, 0}},
     TOUR_EACH},
    {"The choice follows them",
     "{word} goes to {chosen}. Point at a bar to see the formula with your numbers in it.",
     ROUTE_AT(4),
     {{TAG_PROB, LIT_ALL, 0}, {TAG_EXPERT, LIT_ALL, 0}},
     TOUR_TOGETHER},
};

static const TourStep lesson_04[] = {
    {"Your choice",
     "Of {experts} shares your topk_select kept {k}: {chosen_shares}. The rule of this model is {rule}.",
     ROUTE_FIRST(3),
     {{TAG_PROB, LIT_CHOSEN, 0}},
     TOUR_EACH},
    {"From shares to weights",
     "In the sum they count {weighted}. These weights add up to {weight_sum}.",
     ROUTE_AT(7),
     {{TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
    {"Who was not chosen", "{left_out}: what topk_select leaves out is never computed.", ROUTE_AT(6), {{TAG_EXPERT, LIT_ALL, 0}}, TOUR_EACH},
};

static const TourStep lesson_05[] = {
    {"Your sum",
     "Your combine_forward adds, for {word}, {weighted}. An expert that was not chosen has no part here, so it was never run.",
     ROUTE_FIRST(7),
     {{TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
    {"What becomes of it",
     "The sum has length {added} and is added to the {came_in} that came in. With an empty function the token passes unchanged.",
     ROUTE_AT(8),
     {{TAG_RESIDUAL, LIT_ALL, 0}},
     TOUR_EACH},
};

static const TourStep lesson_06[] = {
    {"Your plan, seen from the experts",
     "Your dispatch_plan sorted {choices_here} choices by expert. Each square is one of them; {busiest} has the most, {busiest_load}.",
     ROUTE_FIRST(5),
     {{TAG_EXPERT, LIT_ALL, 0}},
     TOUR_EACH},
    {"Your counts",
     "This row is what your plan counted first; it adds up to {choices_here}. The same work evenly spread would be {even_load} for each expert.",
     ROUTE_AT(8),
     {{TAG_HEAT, LIT_HERE, 0}},
     TOUR_TOGETHER},
};

static const TourStep lesson_07[] = {
    {"Stage 1: score",
     "Your layer calls the router: {word} gets {experts} shares, the largest {best_share} for {best}.",
     ROUTE_FIRST(2),
     {{TAG_PROB, LIT_ALL, 0}},
     TOUR_EACH},
    {"Stages 2 and 3: choose, send",
     "Top-K keeps {chosen}; the plan sends each token to its experts.",
     ROUTE_AT(4),
     {{TAG_PROB, LIT_ALL, 0}, {TAG_EXPERT, LIT_ALL, 0}},
     TOUR_TOGETHER},
    {"Stages 4 and 5: compute, add up",
     "The chosen experts run, and their answers are added: {weighted}.",
     ROUTE_AT(7),
     {{TAG_EXPERT, LIT_CHOSEN, 0}, {TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
    {"What leaves your layer",
     "It adds a vector of length {added} to the {came_in} that came in. Then the next layer does the same.",
     ROUTE_AT(8),
     {{TAG_RESIDUAL, LIT_ALL, 0}},
     TOUR_EACH},
};

static const TourStep lesson_08[] = {
    {"Saved: FLOPs",
     "Each token runs {k} of {experts} experts. This text took {flops}; with all of them running it would be {flops_dense}, {times_less} as much.",
     ROUTE_LAST,
     {{TAG_COUNTER, LIT_NUMBER, 0}, {TAG_COUNTER, LIT_NUMBER, 1}},
     TOUR_EACH},
    {"Hardly saved: bytes touched",
     "{tokens} together touched {touched_here} of {experts} experts in layer {layer}; even routing would touch {expected_here}. That is what "
     "cost_expected_experts gives.",
     STACK_LAST,
     {{TAG_USED, LIT_ALL, 0}},
     TOUR_TOGETHER},
    {"Not saved: bytes resident",
     "{bytes_touched} of weights were read, and all {bytes}, as the file stores them, stay in memory.",
     ROUTE_LAST,
     {{TAG_COUNTER, LIT_NUMBER, 2}},
     TOUR_EACH},
};

static const TourStep lesson_09[] = {
    {"Where they live",
     "{moe_layers} layers of {experts} experts: {all_experts} in all. They hold most of the {bytes} of this model.",
     STACK_LAST,
     {{TAG_HEAT, LIT_ALL, 0}},
     TOUR_TOGETHER},
    {"Which of them work",
     "For one token {k} of {experts} in each layer: the white line. Counting these alone gives a model's active parameters.",
     STACK_LAST,
     {{TAG_ARC, LIT_ALL, 0}},
     TOUR_TOGETHER},
};

static const TourStep lesson_10[] = {
    {"The choice has no slope",
     "Nudge a score a little and {word} still goes to {chosen}. Through the choice itself nothing can be learned.",
     ROUTE_FIRST(3),
     {{TAG_PROB, LIT_ALL, 0}},
     TOUR_EACH},
    {"The weights have one",
     "{weighted}: make a score larger and its expert counts for more. In training your router_backward carries that back to the router.",
     ROUTE_AT(7),
     {{TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
    {"Here it is called",
     "Two small models learn here, side by side, and every step calls your router_backward. Space begins: the loads show what the routers learn. Esc "
     "takes this box away.",
     "train",
     {{TAG_TRAIN_LANE, LIT_ALL, 0}},
     TOUR_WATCH},
};

static const TourStep lesson_11[] = {
    {"How even is the load?",
     "In layer {layer}, {busiest} was asked by {busiest_load} of {tokens}; even would be {even_load} for each expert.",
     ROUTE_FIRST(8),
     {{TAG_HEAT, LIT_HERE, 0}},
     TOUR_TOGETHER},
    {"What your function makes of it",
     "For these choices your balance_aux gives {aux} at alpha 1; a perfectly even layer gives 1. In training its gradient pushes the busy experts' "
     "scores down.",
     ROUTE_AT(8),
     {{TAG_BALANCE, LIT_ALL, 0}},
     TOUR_TOGETHER},
    {"See it at work",
     "Two small models learn here from one seed: lane 1 with {lane_1}, lane 2 with {lane_2} from your balance_aux. Space begins: watch in which lane "
     "experts die. Esc takes this box away.",
     "train",
     {{TAG_TRAIN_LANE, LIT_ALL, 0}},
     TOUR_WATCH},
};

static const TourStep lesson_12[] = {
    {"Experts fill up",
     "{busiest} was asked by {busiest_load} of {tokens}; an even share is {even_load}, where the mark stands in its bar.",
     ROUTE_FIRST(5),
     {{TAG_EXPERT, LIT_BUSIEST, 0}},
     TOUR_EACH},
    {"What a limit does", "{capacity}.", ROUTE_AT(5), {{TAG_EXPERT, LIT_ALL, 0}}, TOUR_EACH},
    {"What a dropped choice costs",
     "A dropped part is hollow here, and nothing takes its place. The sum for {word} is {weighted}.",
     ROUTE_AT(7),
     {{TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
};

static const TourStep lesson_13[] = {
    {"Who chooses?",
     "{who_chooses}. In this layer {busiest} works for {busiest_load} of {tokens}; even would be {even_load}.",
     ROUTE_FIRST(5),
     {{TAG_EXPERT, LIT_ALL, 0}},
     TOUR_EACH},
    {"From the token's side",
     "{word} has {k} of {experts} experts: {weighted}. When experts choose, a token may get many of them, or none.",
     ROUTE_AT(7),
     {{TAG_PART, LIT_ALL, 0}},
     TOUR_EACH},
};

#define TOUR(name, title, steps)                                                                                                                     \
    { name, title, steps, sizeof steps / sizeof *steps }
const Tour tours[] = {
    TOUR("intro", "what a router does", intro),
    TOUR("01", "the dense network", lesson_01),
    TOUR("02", "independent rows", lesson_02),
    TOUR("03", "the router", lesson_03),
    TOUR("04", "top-K", lesson_04),
    TOUR("05", "the weighted sum", lesson_05),
    TOUR("06", "dispatch", lesson_06),
    TOUR("07", "the whole layer", lesson_07),
    TOUR("08", "what sparsity saves", lesson_08),
    TOUR("09", "where parameters live", lesson_09),
    TOUR("10", "the router's gradient", lesson_10),
    TOUR("11", "balance", lesson_11),
    TOUR("12", "capacity", lesson_12),
    TOUR("13", "experts choose", lesson_13),
};
const size_t tour_count = sizeof tours / sizeof *tours;
