/* device.c: --device and --precision → who runs the model. Enters: the two words. Leaves: a function that opens a Runner.
 * `auto` means the device that is known to be faster for the model: until that has been measured on a GPU, the processor (docs/design.md). */
#include "cli/device.h"
#include "cuda/model.h"

#include <string.h>

const char *const device_names[] = {"cpu", "cuda", "auto", NULL};
const char *const precision_names[] = {"f32", "bf16", NULL};

static bool on_gpu(const Device *d) { return strcmp(d->name, "cuda") == 0; }
static bool rounded(const Device *d) { return strcmp(d->precision, "bf16") == 0; }

Status device_check(const Device *d, Fault *f) {
    if (!rounded(d) || on_gpu(d)) return STATUS_OK;
    return fault(f, STATUS_USAGE, "--precision: bf16 is the GPU's: expected --device cuda with it, found --device %s", d->name);
}

RunnerOpen *device_runner(const Device *d) {
    if (!on_gpu(d)) return processor_runner_open;
    return rounded(d) ? cuda_runner_open_bf16 : cuda_runner_open_f32;
}
