/* json.c: a JSON text → values that may be asked for. Enters: bytes from outside. Leaves: a tree, or one line that says where it is broken. Next:
 * families.c. The only file that knows cJSON; without that library a program is built that says what to install. */
#include "cost/json.h"

#include <math.h>
#include <string.h>

#ifdef MOE_CJSON
#include <cjson/cJSON.h>

static size_t line_of(const char *text, const char *at) {
    size_t line = 1;
    for (; text < at; text++) line += *text == '\n';
    return line;
}

static bool only_blank(const char *from, const char *end) {
    while (from < end && strchr(" \t\r\n", *from) != NULL && *from != '\0') from++;
    return from == end;
}

Status json_parse(JsonValue **root, const char *text, size_t bytes, const char *label, Fault *f) {
    const char *stopped = text;
    *root = NULL;
    if (only_blank(text, text + bytes))
        return fault(f, STATUS_FAIL, "%s: expected a JSON object, {...}, found nothing: it %s", label, bytes == 0 ? "is empty" : "holds only blanks");
    *root = cJSON_ParseWithLengthOpts(text, bytes, &stopped, false);
    if (*root == NULL) {
        if (stopped == NULL || stopped < text || stopped > text + bytes) stopped = text;
        return fault(f, STATUS_FAIL, "%s: expected JSON, found something else in line %zu", label, line_of(text, stopped));
    }
    Status status = STATUS_OK;
    if (!only_blank(stopped, text + bytes))
        status = fault(f, STATUS_FAIL, "%s: expected one JSON document, found more after its end in line %zu", label, line_of(text, stopped));
    else if (!cJSON_IsObject(*root))
        status = fault(f, STATUS_FAIL, "%s: expected a JSON object, {...}, found another kind of value", label);
    if (status != STATUS_OK) json_release(*root);
    return status;
}
bool json_is_read(void) { return true; }
void json_release(JsonValue *root) { cJSON_Delete(root); }

const JsonValue *json_value_find(const JsonValue *object, const char *name) {
    const JsonValue *found = NULL;
    if (!cJSON_IsObject(object)) return NULL;
    for (const JsonValue *v = object->child; v != NULL; v = v->next) {
        if (v->string != NULL && strcmp(v->string, name) == 0) found = v;
    }
    return found;
}
bool json_value_is_null(const JsonValue *v) { return cJSON_IsNull(v); }
bool json_value_is_object(const JsonValue *v) { return cJSON_IsObject(v); }
bool json_value_is_list(const JsonValue *v) { return cJSON_IsArray(v); }
bool json_value_whole(const JsonValue *v, double *out) {
    const double exact_below = 9007199254740992.0; /* 2^53 */
    if (!cJSON_IsNumber(v) || !(fabs(v->valuedouble) < exact_below) || v->valuedouble != trunc(v->valuedouble)) return false;
    *out = v->valuedouble;
    return true;
}
bool json_value_number(const JsonValue *v, double *out) {
    *out = cJSON_IsNumber(v) ? v->valuedouble : 0;
    return cJSON_IsNumber(v) && isfinite(v->valuedouble);
}
bool json_value_flag(const JsonValue *v, bool *out) {
    *out = cJSON_IsTrue(v);
    return cJSON_IsBool(v);
}
const char *json_value_text(const JsonValue *v) { return cJSON_IsString(v) ? v->valuestring : NULL; }
const JsonValue *json_value_first(const JsonValue *list) { return cJSON_IsArray(list) ? list->child : NULL; }
const JsonValue *json_value_next(const JsonValue *item) { return item->next; }

void json_value_say(const JsonValue *v, char *out, size_t out_bytes) {
    if (cJSON_IsNumber(v))
        snprintf(out, out_bytes, "%.15g", v->valuedouble);
    else if (cJSON_IsString(v))
        snprintf(out, out_bytes, "\"%.40s\"", v->valuestring);
    else
        snprintf(out, out_bytes, "%s",
                 cJSON_IsNull(v)     ? "null"
                 : cJSON_IsBool(v)   ? (cJSON_IsTrue(v) ? "true" : "false")
                 : cJSON_IsArray(v)  ? "a list"
                 : cJSON_IsObject(v) ? "an object"
                                     : "nothing");
}

#else /* without cJSON there is no tree, so nothing below is ever asked about one */

Status json_parse(JsonValue **root, const char *text, size_t bytes, const char *label, Fault *f) {
    (void)text, (void)bytes;
    *root = NULL;
    return fault(f, STATUS_FAIL,
                 "%s: reading JSON needs the library cJSON, which was not found when this program was built: "
                 "'make setup' installs it (Debian, Ubuntu: libcjson-dev), then 'make'; a GGUF is read without it",
                 label);
}
bool json_is_read(void) { return false; }
void json_release(JsonValue *root) { (void)root; }
const JsonValue *json_value_find(const JsonValue *object, const char *name) { return (void)object, (void)name, NULL; }
bool json_value_is_null(const JsonValue *v) { return v == NULL; }
bool json_value_is_object(const JsonValue *v) { return (void)v, false; }
bool json_value_is_list(const JsonValue *v) { return (void)v, false; }
bool json_value_whole(const JsonValue *v, double *out) { return (void)v, (void)out, false; }
bool json_value_number(const JsonValue *v, double *out) { return (void)v, (void)out, false; }
bool json_value_flag(const JsonValue *v, bool *out) { return (void)v, (void)out, false; }
const char *json_value_text(const JsonValue *v) { return (void)v, NULL; }
const JsonValue *json_value_first(const JsonValue *list) { return (void)list, NULL; }
const JsonValue *json_value_next(const JsonValue *item) { return (void)item, NULL; }
void json_value_say(const JsonValue *v, char *out, size_t out_bytes) { snprintf(out, out_bytes, "%s", v == NULL ? "nothing" : "a value"); }
#endif
