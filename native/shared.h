/*
 * shared.h - memory that threads share: what the files shared*.c have in common.
 *
 * JavaScript makes a SharedArrayBuffer, has it laid out once (chanFormat, ...), and opens it in each
 * thread that uses it; an open memory is an id. Everything that the memory itself says may have been
 * overwritten by any program: sizes are taken when it is opened and kept here, and whatever is read
 * later is checked before it is used. It may then garble its content, but never reach outside.
 *
 * Every operation under a lock is one native call. worker.terminate() interrupts JavaScript, never a
 * native call, so no lock is held for ever and nothing is left half done.
 */
#ifndef CORONET_SHARED_H
#define CORONET_SHARED_H

#include "coronet.h"

#include <stdatomic.h>

typedef _Atomic uint32_t shared_word;

enum { KIND_CHAN = 1, KIND_ATOMIC = 2, KIND_TABLE = 3 };

/* Threads of one process that may wait at the same time. */
#define SHARED_SLOTS 256

/* Which threads wait for something: a bit per slot. src/shared/memory.ts knows this layout. */
typedef struct {
  shared_word threads[SHARED_SLOTS / 32];
  shared_word last; /* the slot that was woken last: the search for the next begins behind it */
} waiting;

/* The first bytes of every shared memory. */
typedef struct {
  shared_word magic;
  shared_word kind;
  shared_word origin; /* the copy of the addon that laid it out */
  shared_word sizes[3];
  shared_word closed;
} shared_header;

/* An open memory. Its reference keeps the SharedArrayBuffer, which cannot be detached. */
typedef struct shared_memory {
  uint8_t* base;
  size_t length;
  napi_ref reference;
  uint32_t kind;
  uint32_t uses; /* times it was opened; 0: this place is free */
  uint32_t sizes[3];
} shared_memory;

/* What an environment has of it. */
struct shared_state {
  shared_memory* memories;
  uint32_t count;
  int slot; /* in the registry of threads; -1 before sharedJoin */
  int wake_fd;
  napi_ref waking_reference;
};

/* shared.c. On false (or NULL) a JavaScript exception is pending. */
struct shared_state* shared_state_of(napi_env env);
shared_memory* memory_of(napi_env env, instance* self, int32_t id, uint32_t kind);
shared_memory* get_memory(napi_env env, napi_value id, uint32_t kind);
bool shared_format(napi_env env, napi_value view, size_t least, uint8_t** base, size_t* length);
void shared_seal(uint8_t* base, uint32_t kind, uint32_t a, uint32_t b, uint32_t c);
bool overwritten(napi_env env); /* throws; false */

/* False when the lock was not let go for seconds: somebody wrote into it. */
bool shared_lock(shared_word* lock);
void shared_unlock(shared_word* lock);

void waiting_add(waiting* who, int slot);
void waiting_remove(waiting* who, int slot);
void wake_one(waiting* who);
void wake_all(waiting* who);

/* shared_chan.c, shared_table.c: whether the sizes in the header fit the length. */
bool chan_sizes_fit(const uint32_t* sizes, size_t length);
bool table_sizes_fit(const uint32_t* sizes, size_t length);
/* The thread `slot` ends: first it waits for nothing, then what it was woken for goes to others. */
void chan_forget(shared_memory* memory, int slot);
void chan_pass_on(shared_memory* memory);
void atomic_forget(shared_memory* memory, int slot);

napi_status shared_chan_init(napi_env env, napi_value exports);
napi_status shared_table_init(napi_env env, napi_value exports);

#endif
