/*
 * coronet.h - what the files of the addon share.
 *
 * The addon is a thin layer: one JavaScript function per system call. Each returns the call's
 * result, or -errno; arguments are checked before the call is made and a wrong one throws a
 * TypeError or RangeError. EINTR is retried here (never for close(2)); every other decision is
 * taken in TypeScript.
 *
 * Invariants
 *  - All state hangs on an `instance`, one per environment (main thread or worker thread). There
 *    is no global mutable state, so the addon is context-aware.
 *  - Every fd that the addon opens is marked in the instance's fd table until it is closed or
 *    released; whatever is still marked when the environment ends is closed then. A terminated
 *    worker runs no JavaScript, so this is the only thing that frees its fds.
 *  - No pointer into a JavaScript buffer outlives the call that received it, except the scratch
 *    buffer, and the event buffer and the counters of a poll handle: those are SharedArrayBuffers,
 *    which cannot be detached, and are kept alive by a reference.
 */
#ifndef CORONET_H
#define CORONET_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One bit per fd number; grows on demand. */
typedef struct {
  uint8_t* bits;
  size_t capacity; /* in fds */
} fd_table;

struct poll_handle;

typedef struct {
  napi_env env;
  fd_table fds;
  struct poll_handle* polls; /* every open poll handle of this environment */
  unsigned closing;          /* poll handles whose uv_close has not called back yet */
  napi_async_cleanup_hook_handle cleanup;
  uint8_t* scratch; /* the thread's scratch buffer, set once */
  size_t scratch_length;
  napi_ref scratch_ref;
  int unreported;            /* fds opened (closed) since V8 was last told of their memory */
  bool ended; /* the environment is going away: make no more calls into it */
} instance;

/* fd_table.c */
bool fd_table_mark(fd_table* table, int fd);
void fd_table_clear(fd_table* table, int fd);
bool fd_table_has(const fd_table* table, int fd);
void fd_table_close_all(fd_table* table);

/* args.c: fetch and check arguments; on false a JavaScript exception is pending. */
instance* get_instance(napi_env env);
bool get_args(napi_env env, napi_callback_info info, size_t count, napi_value* args);
bool get_int(napi_env env, napi_value value, const char* name, int32_t* out);
bool get_bytes(napi_env env, napi_value value, const char* name, uint8_t** data, size_t* length);
bool get_span(napi_env env, napi_value* three, uint8_t** data, size_t* length);
napi_value make_int(napi_env env, int64_t value);
napi_value result_of(napi_env env, int64_t result); /* result, or -errno when it is -1 */
/* Tells V8, now and then, what memory the open fds hold, so that it collects in time. */
void account_fds(instance* self, int change);
napi_value own_fd(napi_env env, int fd);            /* marks a fresh fd; -errno when fd is -1 */

/* One per subject: adds the functions of that file to the exports. */
napi_status define_functions(napi_env env, napi_value exports,
                             const napi_property_descriptor* list, size_t count);
napi_status socket_init(napi_env env, napi_value exports);
napi_status io_init(napi_env env, napi_value exports);
napi_status epoll_init(napi_env env, napi_value exports);
napi_status passing_init(napi_env env, napi_value exports);
napi_status uvpoll_init(napi_env env, napi_value exports);
napi_status threads_init(napi_env env, napi_value exports);
napi_status splice_init(napi_env env, napi_value exports);

/* Whether the memory of a typed array stays where it is for as long as the array is referenced: only
 * a SharedArrayBuffer cannot be detached. On false a TypeError is pending. */
bool stays(napi_env env, napi_value array, const char* message);

/* uvpoll.c */
void uvpoll_close_all(instance* self);
bool uvpoll_watches(const instance* self, int fd);
void instance_maybe_finished(instance* self);

#define FUNCTION(name, fn) \
  { (name), NULL, (fn), NULL, NULL, NULL, napi_enumerable, NULL }

/* Repeats a system call that a signal interrupted. */
#define RETRY_EINTR(result, call) \
  do {                            \
    (result) = (call);            \
  } while ((result) == -1 && errno == EINTR)

#endif
