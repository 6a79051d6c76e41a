/* scene_opened.h: an opened expert: what it received here, and what it typically receives. */
#ifndef MOE_VIZ_SCENE_OPENED_H
#define MOE_VIZ_SCENE_OPENED_H

#include "viz/scene_parts.h"

/* One token of the vocabulary, over all texts that are looked at: how often it stands there, how often this expert of this layer received it,
 * and with what weight in all. Dropped choices are not received. */
typedef struct {
    const Trace *t; /* where it stands first ... */
    size_t token; /* ... and at which place: its text */
    int32_t id;
    size_t seen, received;
    double weight;
} Typical;
/* The heaviest first; of equal ones the lower id. Returns how many were received, of which up to `most` are in `out`. *tokens: looked at. */
size_t opened_typical(Typical *out, size_t most, size_t *tokens, const Trace *t, const View *v, size_t layer, size_t expert);
void opened_describe(Words *o, const DrawTag *tag, const Trace *t, const View *v);

#endif
