/* fibers.h: what the emulator's two files have from each other. emulator.cpp runs a block's threads; hopper.cpp, the instructions that go on while their
 * thread does. */
#ifndef EMULATOR_FIBERS_H
#define EMULATOR_FIBERS_H

#include "cuda_runtime.h"

enum { EMULATOR_MAX_THREADS = 1024 };

/* ---- emulator.cpp ---- */
[[noreturn]] void emulator_fail(const char *what); /* with the block and the thread that were running */
size_t emulator_shared_bytes(void);                /* of dynamic shared memory, as the launch asked for */
unsigned emulator_thread(void);                    /* the running thread's number in its block */
/* The running thread does not go on before over(waited). */
void emulator_give_way(bool (*over)(const void *), const void *waited);

/* ---- hopper.cpp ---- */
/* Nobody can go on: one copy that was asked for comes, the first or the last. false: there is none. */
bool emulator_deliver(bool last);
/* A block's last thread has returned: nothing may be under way. */
void emulator_block_ends(void);

#endif
