/* base.h: the few things every folder needs and none of them is about.
 *
 *   scalar     `real` is float; the gradient check compiles the same files with double
 *   outcome    a function that can fail returns Status and writes one line into a Fault
 *   arena      memory that forward passes take from and never give back
 *   random     a seeded stream, and a counter-based draw that does not depend on order
 *   sums       whole-array sums in blocks of fixed size, the same bits for any thread count
 *   text       counts with commas between thousands
 *   files      written to a temporary name, synced, renamed
 *
 * Nothing here knows what a token is.
 */
#ifndef MOE_BASE_H
#define MOE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- scalar ---- */
#ifdef MOE_DOUBLE
typedef double real;
#define REAL_NAME "double"
#define REAL_EPS 2.220446049250313e-16 /* spacing of doubles at 1 */
#else
typedef float real;
#define REAL_NAME "float"
#define REAL_EPS 1.1920928955078125e-7 /* spacing of floats at 1 */
#endif
/* Math functions of the scalar: REALF(exp)(x) is expf or exp. */
#ifdef MOE_DOUBLE
#define REALF(fn) fn
#else
#define REALF(fn) fn##f
#endif

/* ---- outcome ---- */
typedef enum { STATUS_OK = 0, STATUS_FAIL = 1, STATUS_USAGE = 2 } Status; /* also the exit codes */
typedef struct { char text[512]; } Fault;                                /* one line, no newline */

/* Formats the message and returns `status`, so that `return fault(f, STATUS_FAIL, ...)` reads well.
 * `f` may be NULL when the caller does not want the text. What may not stand on a terminal becomes '?'. */
Status fault(Fault *f, Status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Bytes of the character at `bytes` where it may stand on a terminal: UTF-8, and no control character. 0 where it may not. */
size_t text_shown(const char *bytes, size_t count);

/* ---- sizes: false when the product or sum does not fit, so that a file's numbers can be trusted after it ---- */
bool size_mul(size_t *out, size_t a, size_t b);
bool size_add(size_t *out, size_t a, size_t b);

/* ---- arena: one block, taken from the front; every piece is 64-byte aligned and zeroed ---- */
typedef struct { unsigned char *base; size_t used_bytes, size_bytes; } Arena;
Status arena_init(Arena *arena, size_t size_bytes, Fault *f);
void arena_free(Arena *arena);
void *arena_take(Arena *arena, size_t count, size_t item_bytes); /* asserts that it fits: sizing is our own job */
size_t arena_room(size_t count, size_t item_bytes);              /* what arena_take will use, padding included */

/* ---- random ---- */
typedef struct { uint64_t state; } Rng;            /* splitmix64: tiny, seedable with any value, good enough for data and init */
void rng_seed(Rng *rng, uint64_t seed);
uint64_t rng_next(Rng *rng);
uint64_t rng_below(Rng *rng, uint64_t n);          /* 0..n-1 without modulo bias, n > 0 */
double rng_uniform(Rng *rng);                      /* [0,1) */
double rng_normal(Rng *rng);                       /* N(0,1) */
double rng_normal_at(uint64_t seed, uint64_t index); /* N(0,1) that depends on (seed, index) alone: frozen noise */

/* ---- sums over whole arrays: blocks of SUM_BLOCK, added in block order ---- */
enum { SUM_BLOCK = 4096 };
double sum_squares(const real *x, size_t count);
double sum_values(const double *x, size_t count);

/* ---- threads ---- */
int threads_get(void);          /* 1 without OpenMP */
void threads_set(int threads);  /* ignored without OpenMP */
/* Less work than this is done before a second thread wakes; and where other programs hold the cores, the one that woke would be waited for.
 * Scalars that a loop touches; multiplications of a product. */
enum { PARALLEL_MIN_ITEMS = 1 << 13, PARALLEL_MIN_PRODUCTS = 1 << 18 };

/* ---- time: for progress and benchmarks, never for results ---- */
double time_now_s(void);
double cpu_now_s(void); /* that this process worked, all threads together: other programs on the machine do not count */
int double_order(const void *a, const void *b); /* for qsort: rising; for medians */

/* ---- text: 46702792704 is "46,702,792,704"; returns out, where 27 bytes hold any count and less room cuts the last digits ---- */
const char *count_grouped(char *out, size_t room, uint64_t count);

/* ---- files ---- */
typedef struct { FILE *file; char path[4096], temporary[4096 + 16]; } OutFile;
Status outfile_open(OutFile *out, const char *path, Fault *f); /* a link stays one: what it leads to is replaced, with the rights that it had */
Status outfile_commit(OutFile *out, Fault *f); /* flush, fsync, close, rename; on failure the old file stands and the temporary is gone */
void outfile_abandon(OutFile *out);            /* close and remove the temporary; safe after commit */

/* For main: a signal that ends the program removes what is half written first, and a file that may not grow is an error to report, as a full
 * disk is, instead of the program's end. A signal that is ignored (nohup) stays ignored. */
void outfile_mind_signals(void);

/* Would writing one be writing the other? Also through links and other spellings, and where neither is there yet. NULL is no file. */
bool same_file(const char *a, const char *b);

/* Where a file or folder of data/ is: beside the program that runs (in its build folder or installed), else below the working folder. False: nowhere. */
bool data_find(char *out, size_t out_bytes, const char *name);

/* Whole file into memory (malloc; a zero byte follows the last), of at most FILE_BYTES_MOST: /dev/zero has no end. "-" is standard input. */
#define FILE_BYTES_MOST ((size_t)1 << 30)
Status file_read(const char *path, unsigned char **bytes, size_t *count, Fault *f);

#endif
