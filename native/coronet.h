/*
 * coronet.h - what the files of the addon share.
 *
 * The addon is a thin layer: one JavaScript function per system call. Each returns the call's
 * result, or -errno; arguments are checked before the call is made and a wrong one throws a
 * TypeError or RangeError. EINTR is retried here (never for close(2)); every other decision is
 * taken in TypeScript.
 *
 * Invariants
 *  - All state hangs on an `instance`, one per environment (main thread or worker thread), so the
 *    addon is context-aware. Global mutable state is what threads share by its nature, each under
 *    its mutex: the registry of shared.c (which eventfd wakes which thread: an eventfd is written to
 *    only under that mutex, and an environment that ends leaves the registry before its fds are
 *    closed), and of TLS the root certificates, the keys of session tickets (tls_shared.c) and the
 *    connections on their way between threads (tls_transfer.c).
 *  - Every fd that the addon opens is marked in the instance's fd table until it is closed or
 *    released; whatever is still marked when the environment ends is closed then. A terminated
 *    worker runs no JavaScript, so this is the only thing that frees its fds.
 *  - No pointer into a JavaScript buffer outlives the call that received it, except the scratch
 *    buffer, the slots of datagrams, the event buffer and the counters of a poll handle, and the
 *    memories that threads share (shared.h): those are SharedArrayBuffers, which cannot be detached,
 *    and are kept alive by a reference.
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
struct datagram_slots;
struct shared_state;
struct tls_state;

typedef struct {
  napi_env env;
  fd_table fds;
  struct poll_handle* polls; /* every open poll handle of this environment */
  unsigned closing;          /* poll handles whose uv_close has not called back yet */
  napi_async_cleanup_hook_handle cleanup;
  struct shared_state* shared; /* what shared.c has of this thread; NULL before its first use */
  struct tls_state* tls;       /* what tls.c has of this thread; NULL before its first use */
  uint8_t* scratch; /* the thread's scratch buffer, set once */
  size_t scratch_length;
  napi_ref scratch_ref;
  struct datagram_slots* slots; /* where the thread's datagrams pass through; NULL until needed */
  napi_ref slots_ref;
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
napi_status datagram_init(napi_env env, napi_value exports);
napi_status epoll_init(napi_env env, napi_value exports);
napi_status passing_init(napi_env env, napi_value exports);
napi_status uvpoll_init(napi_env env, napi_value exports);
napi_status splice_init(napi_env env, napi_value exports);
napi_status shared_init(napi_env env, napi_value exports);
napi_status threads_init(napi_env env, napi_value exports);
napi_status tls_init(napi_env env, napi_value exports);
napi_status tls_context_init(napi_env env, napi_value exports);
napi_status tls_facts_init(napi_env env, napi_value exports);
napi_status tls_transfer_init(napi_env env, napi_value exports);

/* Whether the memory of a typed array stays where it is for as long as the array is referenced: only
 * a SharedArrayBuffer cannot be detached. On false a TypeError is pending. */
bool stays(napi_env env, napi_value array, const char* message);

/* uvpoll.c */
void uvpoll_close_all(instance* self);
bool uvpoll_watches(const instance* self, int fd);
void instance_maybe_finished(instance* self);

/* io.c: the parts of an array of chunks, at most as many as one call takes (MAX_IOV). */
#define MAX_IOV 1024 /* IOV_MAX on Linux (limits.h, sysconf(3)) */
struct iovec;
bool get_iovec(napi_env env, napi_value* three, struct iovec* iov, size_t* count);

/* tls.c */
bool tls_watches(const instance* self, int fd);
void tls_end(instance* self);

/* shared.c */
bool shared_watches(const instance* self, int fd);
void shared_end(instance* self);

#define FUNCTION(name, fn) \
  { (name), NULL, (fn), NULL, NULL, NULL, napi_enumerable, NULL }

/* Repeats a system call that a signal interrupted. */
#define RETRY_EINTR(result, call) \
  do {                            \
    (result) = (call);            \
  } while ((result) == -1 && errno == EINTR)

#endif
