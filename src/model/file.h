/* file.h: what the three files that turn a GGUF into a Model share. */
#ifndef MOE_MODEL_FILE_H
#define MOE_MODEL_FILE_H

#include "model/model.h"

Status model_read_config(const Gguf *g, ModelConfig *c, Fault *f);
bool model_is_mixtral(const ModelConfig *c); /* architecture llama says what this computes */
extern const char *const service_names[]; /* by ServiceOrder */

#endif
