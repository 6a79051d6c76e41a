/* options.c: the table of flags of `moe-viz`, and what they may not say together. The first function is as long as the table: a flag is a row. */
#include "viz/options.h"

#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const Command viz_command = {
    "moe-viz",
    "watch the tokens of a sentence find their experts, layer by layer",
    "[--text TEXT] [flags]",
    "moe-viz --text \"Tom has 3 apples.\"\n  moe-viz --text \"Tom has 3 apples.\" --at 2:4 --shot route.png",
    NULL,
};

static Status read_flags(Settings *o, int argc, char **argv, bool *done, Fault *f) {
    *o = (Settings){.size = "1280x720", .scale = 1, .speed = 1, .noise = SIZE_MAX, .lanes = lane_defaults};
    const Option table[] = {
        {"--text", OPT_TEXT, &o->text, 0, 0, NULL, "TEXT", "the first sentence; - reads standard input"},
        {"--model", OPT_TEXT, &o->model, 0, 0, NULL, "FILE", "any GGUF that the engine opens; otherwise the shipped model"},
        {"--experts-used", OPT_SIZE, &o->experts_used, 0, 0, NULL, "K",
         "experts per token, instead of the model's own number; 0 keeps it; of the Train view too"},
        {"--noise", OPT_SIZE, &o->noise, 0, 1e9, NULL, "SEED", "noisy-topk: with the noise of training, drawn from SEED; without it there is none"},
        {"--trace", OPT_TEXT, &o->trace, 0, 0, NULL, "FILE", "show a trace that `moe route --trace` saved"},
        {"--simulate", OPT_TEXT, &o->simulate, 0, 0, NULL, "LxExKxT",
         "made-up routing of any size, marked as such: layers x experts x experts used x tokens"},
        {"--versus", OPT_TEXT, &o->versus, 0, 0, NULL, "TEXT", "a second text beside the first: how its routing differs (view 2, Stack)"},
        {"--versus-trace", OPT_TEXT, &o->versus_trace, 0, 0, NULL, "FILE", "the same with a saved trace of the same layers and experts"},
        {"--versus-simulate", OPT_TEXT, &o->versus_simulate, 0, 0, NULL, "LxExKxT", "the same with made-up routing of another made-up text"},
        {"--dense-active", OPT_TEXT, &o->dense[LANE_ACTIVE], 0, 0, NULL, "FILE",
         "a dense model as large as what works for a token (view 4, Compare); otherwise dense_active.gguf beside the model, or random weights"},
        {"--dense-total", OPT_TEXT, &o->dense[LANE_TOTAL], 0, 0, NULL, "FILE", "the same, as large as the whole; otherwise dense_total.gguf"},
        {"--no-measure", OPT_FLAG, &o->no_measure, 0, 0, NULL, "", "Compare counts and does not measure: the same picture every time"},
        {"--shot", OPT_TEXT, &o->shot, 0, 0, NULL, "FILE", "no window: a picture, .png, .svg or .pdf"},
        {"--record", OPT_TEXT, &o->record, 0, 0, NULL, "FILE", "no window: a film, .mp4 or .gif (needs ffmpeg); - for raw BGRA frames"},
        {"--script", OPT_TEXT, &o->script_path, 0, 0, NULL, "FILE",
         "no window: do what FILE says, a command a line; --shot and --dump-scene show its end, --record films it; - reads standard input"},
        {"--window", OPT_FLAG, &o->in_window, 0, 0, NULL, "", "run the script in a window"},
        {"--dump-scene", OPT_FLAG, &o->dump_scene, 0, 0, NULL, "", "no window: what is on the screen, as text"},
        {"--fallback", OPT_TEXT, &o->fallback, 0, 0, NULL, "NAME", "where no window opens, write NAME.png and, with ffmpeg, NAME.mp4 instead"},
        {"--view", OPT_TEXT, &o->view, 0, 0, NULL, "NAME", "route, stack, train or compare"},
        {"--tour", OPT_MAYBE, &o->tour, 0, 0, NULL, "[NN]", "begin with the guided tour, or with the one of lesson NN (01 to 13)"},
        {"--size", OPT_TEXT, &o->size, 0, 0, NULL, "WxH", "pixels of window, picture or film"},
        {"--at", OPT_TEXT, &o->at, 0, 0, NULL, "TIME", "milliseconds, or layer:beat or layer:beat:token (layer and beat from 1, token from 0)"},
        {"--state", OPT_TEXT, &o->state, 0, 0, NULL, "LINE", "the view as copied with C"},
        {"--scale", OPT_NUMBER, &o->scale, 0.5, 4, NULL, "X", "size of everything"},
        {"--speed", OPT_NUMBER, &o->speed, 0.25, 16, NULL, "X", "speed of the animation"},
        {"--paused", OPT_FLAG, &o->paused, 0, 0, NULL, "", "start without playing"},
        {"--reduced-motion", OPT_FLAG, &o->reduced_motion, 0, 0, NULL, "", "highlights instead of travel"},
        {"--no-narration", OPT_FLAG, &o->no_narration, 0, 0, NULL, "", "without the sentence that says what is shown"},
        {"--print-state", OPT_FLAG, &o->print_state, 0, 0, NULL, "", "print the view as a line when the window closes"},
        {"--print-scene", OPT_FLAG, &o->print_scene, 0, 0, NULL, "", "print what stood in the window, as --dump-scene does, when it closes"},
        {"--train-steps", OPT_SIZE, &o->train_steps, 0, LANE_STEPS_MAX, NULL, "N",
         "Train view: steps of both lanes; 0: 300 for a file, 20000 in the window"},
        {"--train-text", OPT_TEXT, &o->lanes.text_path, 0, 0, NULL, "FILE", "Train view: a text of your own instead of the shipped corpus"},
        {"--rule", OPT_TEXT, &o->lanes.rule, 0, 0, NULL, "NAME", "Train view: a rule of `moe train`; two with a comma between for the two lanes"},
        {"--aux", OPT_TEXT, &o->lanes.aux, 0, 0, NULL, "X,Y",
         "Train view: weight of the load-balancing loss in either lane (0,0.1; B, + and - change it)"},
        {"--bias-rate", OPT_TEXT, &o->lanes.bias_rate, 0, 0, NULL, "X,Y",
         "Train view, sigmoid-bias: what a step moves the biases by in either lane (0,0.01)"},
        {"--aux-at", OPT_TEXT, &o->lanes.changes, 0, 0, NULL, "LIST",
         "Train view: changes on the way as lane@step:weight, such as 2@150:0,1@150:0.1"},
        {"--lr", OPT_TEXT, &o->lanes.lr, 0, 0, NULL, "X", "Train view: learning rate, constant after ten steps; two with a comma between"},
        {"--capacity", OPT_TEXT, &o->lanes.capacity, 0, 0, NULL, "X", "Train view: capacity factor, 0: no limit; two with a comma between"},
        {"--experts", OPT_SIZE, &o->lanes.experts, 1, LANE_CELLS_MAX, NULL, "N", "Train view: experts a layer"},
        {"--layers", OPT_SIZE, &o->lanes.layers, 1, LANE_CELLS_MAX, NULL, "N", "Train view: layers"},
        {"--dim", OPT_SIZE, &o->lanes.dim, 4, 4096, NULL, "N", "Train view: model width"},
        {"--expert-dim", OPT_SIZE, &o->lanes.expert_dim, 0, 65536, NULL, "N", "Train view: hidden width of an expert; 0: 2 x dim"},
        {"--batch", OPT_SIZE, &o->lanes.batch, 1, 65536, NULL, "N", "Train view: sequences a step"},
        {"--context", OPT_SIZE, &o->lanes.context, 1, 65536, NULL, "N", "Train view: tokens a sequence"},
        {"--vocab", OPT_TEXT, &o->lanes.vocab, 0, 0, NULL, "N|bytes", "Train view: tokens to learn from the text; bytes: no merges"},
        {"--seed", OPT_SEED, &o->lanes.seed, 0, 0, NULL, "N", "Train view: of everything random, the same for both lanes"},
        {"--bench-frames", OPT_SIZE, &o->bench_frames, 0, 100000, NULL, "N",
         "time N frames of each view at its largest, and the opening of a large trace"},
        {NULL, OPT_FLAG, NULL, 0, 0, NULL, NULL, NULL},
    };
    return options_parse(&viz_command, table, argc, argv, NULL, NULL, done, f);
}

/* ---- what they say together ---- */

bool viz_names_training(const char *text) { return text != NULL && strncasecmp(text, "train", 5) == 0 && (text[5] == '\0' || text[5] == ' '); }
bool viz_shows_training(const Settings *o) { return viz_names_training(o->view) || viz_names_training(o->state); }

/* sizes (4) of "4x8x2x12"; `flag`: whose value it is; text NULL: it was not given. */
static Status read_simulation(size_t sizes[4], const char *flag, const char *text, Fault *f) {
    if (text == NULL) return STATUS_OK;
    const bool plain = text[strspn(text, "0123456789x")] == '\0'; /* scanf alone takes signs and blanks too */
    size_t *n = sizes;
    int used = 0;
    const bool read = plain && sscanf(text, "%5zux%5zux%5zux%5zu%n", &n[0], &n[1], &n[2], &n[3], &used) == 4 && text[used] == '\0';
    if (read && n[0] >= 1 && n[0] <= 256 && n[1] >= 1 && n[1] <= 1024 && n[2] >= 1 && n[2] <= n[1] && n[3] >= 1 && n[3] <= 4096) return STATUS_OK;
    return fault(f, STATUS_USAGE, "%s: expected layers x experts x experts used x tokens, such as 4x8x2x12; found \"%.60s\"", flag, text);
}

/* What is shown comes from one place: a saved trace and made-up routing run no model, so whatever a model is told would be read by nobody. */
static Status check_source(const Settings *o, Fault *f) {
    const char *other = o->simulate != NULL ? "--simulate" : o->trace != NULL ? "--trace" : NULL;
    if (o->simulate != NULL && o->trace != NULL)
        return fault(f, STATUS_USAGE, "--simulate and --trace contradict each other: only one of them can be shown; leave one out");
    if (other != NULL && o->versus != NULL)
        return fault(f, STATUS_USAGE, "--versus runs a model on its text: with --trace use --versus-trace, with --simulate --versus-simulate");
    const struct {
        const char *flag;
        bool given;
    } models[] = {
        {"--model", o->model != NULL},
        {"--text", o->text != NULL},
        {"--noise", o->noise != SIZE_MAX},
        {"--experts-used", o->experts_used > 0 && !viz_shows_training(o)},
        {"--dense-active", o->dense[LANE_ACTIVE] != NULL},
        {"--dense-total", o->dense[LANE_TOTAL] != NULL},
    };
    for (size_t i = 0; other != NULL && i < sizeof models / sizeof *models; i++) {
        if (models[i].given)
            return fault(f, STATUS_USAGE, "%s and %s contradict each other: %s runs no model; leave one out", other, models[i].flag,
                         o->simulate != NULL ? "made-up routing" : "a saved trace");
    }
    return STATUS_OK;
}

/* A file that is looked at later, or on another page alone, is missed now. */
static Status check_files(const Settings *o, Fault *f) {
    const char *const files[] = {o->trace, o->model, o->versus_trace, o->dense[LANE_ACTIVE], o->dense[LANE_TOTAL]};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i] != NULL && access(files[i], R_OK) != 0) return fault(f, STATUS_FAIL, "cannot read %s: %s", files[i], strerror(errno));
    }
    return STATUS_OK;
}

static Status check_together(Settings *o, Fault *f) {
    if ((o->versus != NULL) + (o->versus_trace != NULL) + (o->versus_simulate != NULL) > 1)
        return fault(f, STATUS_USAGE, "--versus, --versus-trace and --versus-simulate: only one of them");
    if (o->text != NULL && o->script_path != NULL && strcmp(o->text, "-") == 0 && strcmp(o->script_path, "-") == 0)
        return fault(f, STATUS_USAGE, "--text - and --script - contradict each other: standard input is read once; name a file for one of them");
    Status status = check_source(o, f);
    if (status == STATUS_OK) status = read_simulation(o->simulation, "--simulate", o->simulate, f);
    if (status == STATUS_OK) status = read_simulation(o->versus_simulation, "--versus-simulate", o->versus_simulate, f);
    return status == STATUS_OK ? check_files(o, f) : status;
}

Status viz_options(Settings *o, int argc, char **argv, bool *done, Fault *f) {
    const Status status = read_flags(o, argc, argv, done, f);
    return status == STATUS_OK && !*done ? check_together(o, f) : status;
}
