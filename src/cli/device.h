/* device.h: --device and --precision: where a command runs its model. */
#ifndef MOE_CLI_DEVICE_H
#define MOE_CLI_DEVICE_H

#include "cli/cli.h"
#include "model/model.h"

typedef struct { const char *name, *precision; } Device; /* as asked for */
#define DEVICE_DEFAULT {"cpu", "f32"}
extern const char *const device_names[], *const precision_names[];
/* The two rows of a command's table of options. */
#define DEVICE_OPTIONS(device) \
    {"--device", OPT_CHOICE, &(device).name, .choices = device_names, .argument = "WHERE", \
     .help = "where the model runs: the processor, an NVIDIA GPU, or the one known to be faster (today the processor)"}, \
    {"--precision", OPT_CHOICE, &(device).precision, .choices = precision_names, .argument = "TYPE", .help = "matrices on the GPU, with --device cuda"}

Status device_check(const Device *d, Fault *f); /* before anything is opened */
RunnerOpen *device_runner(const Device *d); /* for Loaded.open_runner */

#endif
