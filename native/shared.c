/*
 * shared.c - threads that wait on shared memory, the memories that a thread has open, and counters.
 *
 * The registry says which eventfd wakes which thread. It is the addon's only global state. A thread's
 * eventfd is written to only under the registry's mutex, and a thread leaves the registry before its
 * fds are closed: a wake-up never reaches an fd that has become somebody else's.
 *
 * Who waits sets its thread's bit in the memory, then looks once more; who changes something does so
 * first, then looks at the bits. With a full fence between the two steps on both sides, one of them
 * sees the other. Who clears a bit has to wake that thread.
 */
#define _GNU_SOURCE
#include "shared.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x434f5253u
#define LOCK_PATIENCE_NS 5000000000LL

typedef struct {
  int fd; /* 0: free */
  shared_word* waking;
} registered;

static struct {
  pthread_mutex_t mutex;
  registered threads[SHARED_SLOTS];
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint32_t origin(void) {
  uintptr_t address = (uintptr_t)&registry;
  return (uint32_t)(address >> 4 ^ (uintptr_t)((uint64_t)address >> 32));
}

/* ---- locks */

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static bool lock_slowly(shared_word* lock) {
  int64_t began = 0;
  for (unsigned n = 0;; n++) {
    if (atomic_load_explicit(lock, memory_order_relaxed) == 0 &&
        atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0)
      return true;
    if (n < 128) {
      pause_cpu();
      continue;
    }
    sched_yield();
    if (n % 256 != 0) continue;
    int64_t now = now_ns();
    if (began == 0) began = now;
    if (now - began > LOCK_PATIENCE_NS) return false;
  }
}

bool shared_lock(shared_word* lock) {
  if (atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0) return true;
  return lock_slowly(lock);
}

void shared_unlock(shared_word* lock) {
  atomic_store_explicit(lock, 0, memory_order_release);
}

/* ---- who waits */

/* False when no thread has this slot (any more). */
static bool wake_thread(unsigned slot) {
  static const uint64_t one = 1;
  bool lives = false;
  pthread_mutex_lock(&registry.mutex);
  registered* thread = &registry.threads[slot];
  if (thread->fd > 0) {
    lives = true;
    /* The counter of an eventfd that is read seldom or never does not overflow in 2^64 wake-ups. */
    if (atomic_exchange(thread->waking, 1) == 0) {
      ssize_t n;
      RETRY_EINTR(n, write(thread->fd, &one, sizeof one));
      (void)n;
    }
  }
  pthread_mutex_unlock(&registry.mutex);
  return lives;
}

void waiting_add(waiting* who, int slot) {
  atomic_fetch_or(&who->threads[slot / 32], 1u << (slot % 32));
  atomic_thread_fence(memory_order_seq_cst);
}

void waiting_remove(waiting* who, int slot) {
  atomic_fetch_and(&who->threads[slot / 32], ~(1u << (slot % 32)));
}

/* Wakes the thread of one bit of a word, beginning at bit `from`. */
static bool wake_in_word(waiting* who, unsigned index, uint32_t bits) {
  while (bits != 0) {
    unsigned bit = (unsigned)__builtin_ctz(bits);
    uint32_t mask = 1u << bit;
    bits &= ~mask;
    if ((atomic_fetch_and(&who->threads[index], ~mask) & mask) == 0) continue;
    if (!wake_thread(index * 32 + bit)) continue;
    atomic_store_explicit(&who->last, index * 32 + bit, memory_order_relaxed);
    return true;
  }
  return false;
}

static bool nobody(waiting* who) {
  uint32_t any = 0;
  for (unsigned i = 0; i < SHARED_SLOTS / 32; i++)
    any |= atomic_load_explicit(&who->threads[i], memory_order_relaxed);
  return any == 0;
}

/* Wakes one of those who wait, in turn. What it was woken for must be visible before. */
void wake_one(waiting* who) {
  atomic_thread_fence(memory_order_seq_cst);
  if (nobody(who)) return;
  unsigned last = atomic_load_explicit(&who->last, memory_order_relaxed) % SHARED_SLOTS;
  unsigned words = SHARED_SLOTS / 32;
  uint32_t behind = last % 32 == 31 ? 0 : ~0u << (last % 32 + 1);
  uint32_t bits = atomic_load(&who->threads[last / 32]);
  if (wake_in_word(who, last / 32, bits & behind)) return;
  for (unsigned i = 1; i <= words; i++) {
    unsigned index = (last / 32 + i) % words;
    if (wake_in_word(who, index, atomic_load(&who->threads[index]))) return;
  }
}

void wake_all(waiting* who) {
  atomic_thread_fence(memory_order_seq_cst);
  for (unsigned i = 0; i < SHARED_SLOTS / 32; i++) {
    uint32_t bits = atomic_exchange(&who->threads[i], 0);
    for (; bits != 0; bits &= bits - 1) wake_thread(i * 32 + (unsigned)__builtin_ctz(bits));
  }
}

/* ---- joining and leaving */

struct shared_state* shared_state_of(napi_env env) {
  instance* self = get_instance(env);
  if (self->shared == NULL) {
    self->shared = calloc(1, sizeof *self->shared);
    if (self->shared == NULL) {
      napi_throw_error(env, "ERR_OUT_OF_MEMORY", "no memory for shared memory");
      return NULL;
    }
    self->shared->slot = -1;
  }
  return self->shared;
}

static int register_thread(int fd, shared_word* waking) {
  int slot = -EAGAIN;
  pthread_mutex_lock(&registry.mutex);
  for (int i = 0; i < SHARED_SLOTS; i++) {
    if (registry.threads[i].fd > 0) continue;
    registry.threads[i] = (registered){.fd = fd, .waking = waking};
    slot = i;
    break;
  }
  pthread_mutex_unlock(&registry.mutex);
  return slot;
}

static void unregister_thread(int slot) {
  pthread_mutex_lock(&registry.mutex);
  registry.threads[slot] = (registered){0};
  pthread_mutex_unlock(&registry.mutex);
}

static bool get_waking(napi_env env, napi_value value, shared_word** waking) {
  napi_typedarray_type type = napi_float64_array;
  size_t length = 0;
  void* data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array || length < 1 || data == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "waking must be an Int32Array of length 1");
    return false;
  }
  *waking = data;
  return stays(env, value, "waking must be backed by a SharedArrayBuffer");
}

/* sharedJoin(wakeFd, waking): this thread can be woken through its eventfd from now on. Its slot;
 * -EAGAIN when too many threads have joined, -EBADF for an fd that is not this environment's. A
 * thread that has joined keeps its first eventfd. */
static napi_value js_join(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd;
  shared_word* waking;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "wakeFd", &fd) ||
      !get_waking(env, args[1], &waking))
    return NULL;
  struct shared_state* state = shared_state_of(env);
  if (state == NULL) return NULL;
  if (state->slot >= 0) return make_int(env, state->slot);
  if (fd == 0 || !fd_table_has(&get_instance(env)->fds, fd)) return make_int(env, -EBADF);
  if (napi_create_reference(env, args[1], 1, &state->waking_reference) != napi_ok)
    return make_int(env, -ENOMEM);
  int slot = register_thread(fd, waking);
  if (slot < 0) {
    napi_delete_reference(env, state->waking_reference);
    return make_int(env, slot);
  }
  state->wake_fd = fd;
  state->slot = slot;
  return make_int(env, slot);
}

bool shared_watches(const instance* self, int fd) {
  return self->shared != NULL && self->shared->slot >= 0 && self->shared->wake_fd == fd;
}

/* The environment ends. What this thread had been woken for and has not taken goes to others. */
void shared_end(instance* self) {
  struct shared_state* state = self->shared;
  if (state == NULL) return;
  if (state->slot >= 0) {
    for (uint32_t i = 0; i < state->count; i++) {
      shared_memory* memory = &state->memories[i];
      if (memory->uses == 0) continue;
      if (memory->kind == KIND_CHAN) chan_forget(memory, state->slot);
      if (memory->kind == KIND_ATOMIC) atomic_forget(memory, state->slot);
    }
    unregister_thread(state->slot);
    for (uint32_t i = 0; i < state->count; i++) {
      shared_memory* memory = &state->memories[i];
      if (memory->uses > 0 && memory->kind == KIND_CHAN) chan_pass_on(memory);
    }
  }
  free(state->memories);
  free(state);
  self->shared = NULL;
}

/* ---- memories */

bool overwritten(napi_env env) {
  napi_throw_type_error(env, "ERR_SHARED_MEMORY", "the shared memory was overwritten");
  return false;
}

static bool get_shared(napi_env env, napi_value view, uint8_t** base, size_t* length) {
  if (!get_bytes(env, view, "memory", base, length) ||
      !stays(env, view, "memory must be backed by a SharedArrayBuffer"))
    return false;
  if (*length >= sizeof(shared_header) && (uintptr_t)*base % 8 == 0) return true;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "the shared memory is too small or not aligned");
  return false;
}

/* Memory that is to be laid out: at least so many bytes, which become zero. */
bool shared_format(napi_env env, napi_value view, size_t least, uint8_t** base, size_t* length) {
  if (!get_shared(env, view, base, length)) return false;
  if (*length < least) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "the shared memory is too small");
    return false;
  }
  shared_header* header = (shared_header*)*base;
  if (atomic_load(&header->magic) != 0) {
    napi_throw_type_error(env, "ERR_SHARED_MEMORY", "the shared memory is in use");
    return false;
  }
  memset(*base, 0, least);
  return true;
}

void shared_seal(uint8_t* base, uint32_t kind, uint32_t a, uint32_t b, uint32_t c) {
  shared_header* header = (shared_header*)base;
  atomic_store(&header->kind, kind);
  atomic_store(&header->origin, origin());
  atomic_store(&header->sizes[0], a);
  atomic_store(&header->sizes[1], b);
  atomic_store(&header->sizes[2], c);
  atomic_store(&header->magic, MAGIC);
}

/* Value, 64 bits, and who waits for it to change. src/shared/memory.ts knows this layout. */
typedef struct {
  shared_header header;
  uint32_t padding[9];
  waiting waiters;   /* at byte 64 */
  uint32_t space[7]; /* to byte 128 */
  uint64_t value;
} atomic_layout;

_Static_assert(offsetof(atomic_layout, waiters) == 64 && offsetof(atomic_layout, value) == 128,
               "JavaScript knows these places");

static bool sizes_fit(const shared_memory* memory) {
  if (memory->kind == KIND_CHAN) return chan_sizes_fit(memory->sizes, memory->length);
  if (memory->kind == KIND_TABLE) return table_sizes_fit(memory->sizes, memory->length);
  return memory->kind == KIND_ATOMIC && memory->length >= sizeof(atomic_layout);
}

static int find_memory(struct shared_state* state, const uint8_t* base) {
  int free_place = -1;
  for (uint32_t i = 0; i < state->count; i++) {
    if (state->memories[i].uses > 0 && state->memories[i].base == base) return (int)i;
    if (state->memories[i].uses == 0 && free_place < 0) free_place = (int)i;
  }
  if (free_place >= 0) return free_place;
  uint32_t count = state->count == 0 ? 8 : state->count * 2;
  shared_memory* memories = realloc(state->memories, count * sizeof *memories);
  if (memories == NULL) return -1;
  memset(memories + state->count, 0, (count - state->count) * sizeof *memories);
  state->memories = memories;
  free_place = (int)state->count;
  state->count = count;
  return free_place;
}

/* sharedOpen(memory, kind): its id in this thread, the same whenever it is opened again. */
static napi_value js_open(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t kind;
  shared_memory memory = {.uses = 1};
  if (!get_args(env, info, 2, args) || !get_shared(env, args[0], &memory.base, &memory.length) ||
      !get_int(env, args[1], "kind", &kind))
    return NULL;
  struct shared_state* state = shared_state_of(env);
  if (state == NULL) return NULL;
  shared_header* header = (shared_header*)memory.base;
  memory.kind = atomic_load(&header->kind);
  for (int i = 0; i < 3; i++) memory.sizes[i] = atomic_load(&header->sizes[i]);
  if (atomic_load(&header->magic) != MAGIC || memory.kind != (uint32_t)kind ||
      !sizes_fit(&memory)) {
    napi_throw_type_error(env, "ERR_SHARED_MEMORY", "not the handle of such a shared object");
    return NULL;
  }
  if (atomic_load(&header->origin) != origin()) {
    napi_throw_type_error(env, "ERR_SHARED_MEMORY",
                          "the shared object was made by another copy of the addon");
    return NULL;
  }
  int id = find_memory(state, memory.base);
  if (id < 0) return make_int(env, -ENOMEM);
  shared_memory* place = &state->memories[id];
  if (place->uses > 0) {
    place->uses++;
    return make_int(env, id);
  }
  if (napi_create_reference(env, args[0], 1, &memory.reference) != napi_ok)
    return make_int(env, -ENOMEM);
  *place = memory;
  return make_int(env, id);
}

shared_memory* memory_of(napi_env env, instance* self, int32_t id, uint32_t kind) {
  struct shared_state* state = self->shared;
  if (state != NULL && id >= 0 && (uint32_t)id < state->count) {
    shared_memory* memory = &state->memories[id];
    if (memory->uses > 0 && (kind == 0 || memory->kind == kind)) return memory;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "not the id of an open shared object");
  return NULL;
}

shared_memory* get_memory(napi_env env, napi_value value, uint32_t kind) {
  int32_t id;
  return get_int(env, value, "id", &id) ? memory_of(env, get_instance(env), id, kind) : NULL;
}

/* sharedClose(id): one use less; the last one lets go of the memory. */
static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!get_args(env, info, 1, args)) return NULL;
  shared_memory* memory = get_memory(env, args[0], 0);
  if (memory == NULL || --memory->uses > 0) return NULL;
  struct shared_state* state = get_instance(env)->shared;
  if (state->slot >= 0 && memory->kind == KIND_CHAN) chan_forget(memory, state->slot);
  if (state->slot >= 0 && memory->kind == KIND_CHAN) chan_pass_on(memory);
  if (state->slot >= 0 && memory->kind == KIND_ATOMIC) atomic_forget(memory, state->slot);
  napi_delete_reference(env, memory->reference);
  *memory = (shared_memory){0};
  return NULL;
}

/* ---- counters: JavaScript's Atomics do the arithmetic; here is who waits */

static waiting* get_atomic(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!get_args(env, info, 1, args)) return NULL;
  shared_memory* memory = get_memory(env, args[0], KIND_ATOMIC);
  return memory == NULL ? NULL : &((atomic_layout*)memory->base)->waiters;
}

static napi_value js_atomic_format(napi_env env, napi_callback_info info) {
  napi_value args[1];
  uint8_t* base;
  size_t length;
  if (get_args(env, info, 1, args) &&
      shared_format(env, args[0], sizeof(atomic_layout), &base, &length))
    shared_seal(base, KIND_ATOMIC, 0, 0, 0);
  return NULL;
}

/* atomicArm(id): this thread wants to be woken; the caller looks at the value after that. */
static napi_value js_atomic_arm(napi_env env, napi_callback_info info) {
  waiting* who = get_atomic(env, info);
  if (who == NULL) return NULL;
  int slot = get_instance(env)->shared->slot;
  if (slot < 0) return make_int(env, -EAGAIN);
  waiting_add(who, slot);
  return make_int(env, 0);
}

static napi_value js_atomic_disarm(napi_env env, napi_callback_info info) {
  waiting* who = get_atomic(env, info);
  if (who == NULL) return NULL;
  int slot = get_instance(env)->shared->slot;
  if (slot >= 0) waiting_remove(who, slot);
  return NULL;
}

static napi_value js_atomic_notify(napi_env env, napi_callback_info info) {
  waiting* who = get_atomic(env, info);
  if (who != NULL) wake_all(who);
  return NULL;
}

void atomic_forget(shared_memory* memory, int slot) {
  waiting_remove(&((atomic_layout*)memory->base)->waiters, slot);
}

napi_status shared_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("sharedJoin", js_join),
      FUNCTION("sharedOpen", js_open),
      FUNCTION("sharedClose", js_close),
      FUNCTION("atomicFormat", js_atomic_format),
      FUNCTION("atomicArm", js_atomic_arm),
      FUNCTION("atomicDisarm", js_atomic_disarm),
      FUNCTION("atomicNotify", js_atomic_notify),
  };
  napi_status status = define_functions(env, exports, list, sizeof list / sizeof list[0]);
  if (status == napi_ok) status = shared_chan_init(env, exports);
  return status == napi_ok ? shared_table_init(env, exports) : status;
}
