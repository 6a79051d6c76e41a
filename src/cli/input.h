/* input.h: what a command is asked to read: --text TEXT, --text - or --tokens 5,17,2, as token ids of a loaded model. */
#ifndef MOE_CLI_INPUT_H
#define MOE_CLI_INPUT_H

#include "cli/cli.h"
#include "model/model.h"

typedef struct {
    int32_t *ids; /* (count) */
    size_t count;
    char *text; /* what was given; of --tokens: their text, or the list itself where no tokenizer can say */
    size_t text_bytes;
} Input;
/* One of `text` and `tokens` is given: otherwise wrong usage. Called before a model is opened. */
Status input_check(const char *text, const char *tokens, Fault *f);
/* One of `text` and `tokens` is given, the other NULL. An empty text has no token, or the model's bos alone. */
Status input_read(Input *in, const Loaded *l, const char *text, const char *tokens, Fault *f);
/* The same where nothing can be done without a token. */
Status input_read_some(Input *in, const Loaded *l, const char *text, const char *tokens, Fault *f);
void input_free(Input *in);
/* Says on standard error where a text is longer than what the model has learned from. */
void input_warn_long(const char *command, const Input *in, const Loaded *l);

#endif
