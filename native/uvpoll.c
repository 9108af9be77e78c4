/*
 * uvpoll.c - the poll handle: joins an epoll fd to the host's event loop.
 *
 * A uv_poll_t watches the epoll fd. When it is readable the handle asks epoll_wait(0) in bounded
 * rounds and calls one JavaScript function per batch with the number of events; microtasks run when
 * that call returns, so every goroutine that became ready has run before the next round.
 *
 * Counters (an Int32Array shared with JavaScript):
 *   [0] parked      goroutines that wait for I/O or a deadline and must keep the process alive
 *   [1] referenced  1 while the uv_poll_t counts for the loop's liveness
 * JavaScript references the handle when parked leaves 0 and referenced is 0; the handle unreferences
 * itself, at the end of a batch or before the loop blocks, when parked is 0. So a ping-pong whose
 * only goroutine parks and wakes costs no call.
 *
 * Life: open → close (from JavaScript or at the environment's end) → both uv handles have called
 * back → memory is freed. The environment's end waits for that through an async cleanup hook,
 * because a loop must not be closed while a handle is still closing.
 */
#include "epoll.h"
#include "uv_abi.h"

#include <errno.h>
#include <stdlib.h>

enum { PARKED = 0, REFERENCED = 1, COUNTERS = 2 };

typedef struct poll_handle {
  instance* owner;
  struct poll_handle* next;
  struct poll_handle* previous;
  uv_handle_t* poll;    /* uv_poll_t */
  uv_handle_t* prepare; /* uv_prepare_t, never keeps the loop alive */
  int epfd;
  int rounds; /* at most so many epoll_wait per turn of the loop */
  int32_t* events;
  int capacity; /* in events */
  int32_t* counters;
  napi_ref events_ref, counters_ref, callback_ref;
  napi_async_context context;
  int open_handles; /* uv handles that have not called back from uv_close */
  bool closing;
} poll_handle;

static void drop_reference_when_idle(poll_handle* self) {
  if (self->closing || self->counters[PARKED] > 0 || self->counters[REFERENCED] == 0) return;
  self->counters[REFERENCED] = 0;
  uv_unref(self->poll);
}

/* Calls the batch function. False when no further round may follow. */
static bool deliver(poll_handle* self, int count) {
  napi_env env = self->owner->env;
  napi_handle_scope scope;
  napi_value callback, receiver, argument, result;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  bool ok = napi_get_reference_value(env, self->callback_ref, &callback) == napi_ok &&
            napi_get_global(env, &receiver) == napi_ok &&
            napi_create_int32(env, count, &argument) == napi_ok;
  if (ok) {
    napi_status status =
        napi_make_callback(env, self->context, receiver, callback, 1, &argument, &result);
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending) {
      /* The batch function does not throw; if it does, this is a defect that must be seen. */
      napi_value error;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok)
        napi_fatal_exception(env, error);
    }
    ok = status == napi_ok && !pending;
  }
  napi_close_handle_scope(env, scope);
  return ok;
}

static void on_readable(uv_handle_t* handle, int status, int events) {
  (void)events;
  poll_handle* self = uv_handle_get_data(handle);
  int delivered = 0;
  /* Bounded in rounds and in events, so that the host's timers get their turn. */
  for (int round = 0; round < self->rounds && delivered < MAX_EVENTS; round++) {
    if (self->closing || self->owner->ended) return;
    int n = status < 0 ? status : epoll_collect(self->epfd, self->events, self->capacity, 0);
    if (n == 0 || n == -EINTR) break;
    if (!deliver(self, n) || n < 0) break;
    delivered += n;
  }
  if (!self->owner->ended) drop_reference_when_idle(self);
}

static void on_prepare(uv_handle_t* handle) {
  poll_handle* self = uv_handle_get_data(handle);
  if (!self->owner->ended) drop_reference_when_idle(self);
}

static void free_handle(poll_handle* self) {
  free(self->poll);
  free(self->prepare);
  free(self);
}

static void on_closed(uv_handle_t* handle) {
  poll_handle* self = uv_handle_get_data(handle);
  if (--self->open_handles > 0) return;
  instance* owner = self->owner;
  owner->closing--;
  free_handle(self);
  instance_maybe_finished(owner);
}

/* The JavaScript side of a handle's end; in a dying environment references go with it. */
static void release_references(poll_handle* self) {
  napi_env env = self->owner->env;
  if (self->events_ref != NULL) napi_delete_reference(env, self->events_ref);
  if (self->counters_ref != NULL) napi_delete_reference(env, self->counters_ref);
  if (self->callback_ref != NULL) napi_delete_reference(env, self->callback_ref);
  if (self->context != NULL) napi_async_destroy(env, self->context);
  self->events_ref = self->counters_ref = self->callback_ref = NULL;
  self->context = NULL;
}

static void close_handle(poll_handle* self) {
  if (self->closing) return;
  self->closing = true;
  if (self->previous != NULL) self->previous->next = self->next;
  else self->owner->polls = self->next;
  if (self->next != NULL) self->next->previous = self->previous;
  release_references(self);
  self->owner->closing++;
  uv_poll_stop(self->poll);
  uv_close(self->poll, on_closed);
  uv_close(self->prepare, on_closed);
}

void uvpoll_close_all(instance* self) {
  while (self->polls != NULL) close_handle(self->polls);
}

bool uvpoll_watches(const instance* self, int fd) {
  for (const poll_handle* handle = self->polls; handle != NULL; handle = handle->next)
    if (handle->epfd == fd) return true;
  return false;
}

static poll_handle* allocate_handle(void) {
  poll_handle* self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->poll = calloc(1, uv_handle_size(UV_ABI_POLL));
  self->prepare = calloc(1, uv_handle_size(UV_ABI_PREPARE));
  if (self->poll != NULL && self->prepare != NULL) return self;
  free_handle(self);
  return NULL;
}

/* Starts both uv handles, unreferenced. 0 or -errno (libuv's error numbers are that on Unix). */
static int start_handles(poll_handle* self, uv_loop_t* loop) {
  int result = uv_poll_init(loop, self->poll, self->epfd);
  if (result != 0) return result;
  uv_prepare_init(loop, self->prepare);
  uv_handle_set_data(self->poll, self);
  uv_handle_set_data(self->prepare, self);
  self->open_handles = 2;
  uv_prepare_start(self->prepare, on_prepare);
  uv_unref(self->prepare);
  result = uv_poll_start(self->poll, UV_ABI_READABLE, on_readable);
  uv_unref(self->poll);
  return result;
}

static bool get_counters(napi_env env, napi_value value, int32_t** counters) {
  napi_typedarray_type type = napi_float64_array;
  size_t length = 0;
  void* data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) == napi_ok &&
      type == napi_int32_array && length >= COUNTERS && data != NULL) {
    *counters = data;
    return true;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "counters must be an Int32Array of length 2");
  return false;
}

/* Holds what the handle needs of JavaScript: buffers, callback and async context. */
static bool hold_references(poll_handle* self, napi_env env, napi_value events,
                            napi_value counters, napi_value callback) {
  napi_value name;
  return napi_create_reference(env, events, 1, &self->events_ref) == napi_ok &&
         napi_create_reference(env, counters, 1, &self->counters_ref) == napi_ok &&
         napi_create_reference(env, callback, 1, &self->callback_ref) == napi_ok &&
         napi_create_string_utf8(env, "CORONET_POLL", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env, NULL, name, &self->context) == napi_ok;
}

static void link_handle(instance* owner, poll_handle* self) {
  self->next = owner->polls;
  if (owner->polls != NULL) owner->polls->previous = self;
  owner->polls = self;
}

/* pollOpen(epfd, events, counters, rounds, callback): an external that names the handle, or -errno. */
static napi_value js_poll_open(napi_env env, napi_callback_info info) {
  napi_value args[5], external;
  napi_valuetype type;
  int32_t epfd, rounds;
  int32_t *events, *counters;
  size_t capacity;
  uv_loop_t* loop = NULL;
  if (!get_args(env, info, 5, args) || !get_int(env, args[0], "epfd", &epfd) ||
      !get_events(env, args[1], &events, &capacity) || !get_counters(env, args[2], &counters) ||
      !stays(env, args[1], "events must be backed by a SharedArrayBuffer") ||
      !stays(env, args[2], "counters must be backed by a SharedArrayBuffer") ||
      !get_int(env, args[3], "rounds", &rounds))
    return NULL;
  if (napi_typeof(env, args[4], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "callback must be a function");
    return NULL;
  }
  if (napi_get_uv_event_loop(env, (struct uv_loop_s**)&loop) != napi_ok) return make_int(env, -ENOSYS);
  instance* owner = get_instance(env);
  if (!fd_table_has(&owner->fds, epfd)) return make_int(env, -EBADF);
  poll_handle* self = allocate_handle();
  if (self == NULL) return make_int(env, -ENOMEM);
  self->owner = owner;
  self->epfd = epfd;
  self->rounds = rounds < 1 ? 1 : rounds;
  self->events = events;
  self->capacity = capacity > MAX_EVENTS ? MAX_EVENTS : (int)capacity;
  self->counters = counters;
  if (!hold_references(self, env, args[1], args[2], args[4]) ||
      napi_create_external(env, self, NULL, NULL, &external) != napi_ok) {
    release_references(self);
    free_handle(self);
    return make_int(env, -ENOMEM);
  }
  int result = start_handles(self, loop);
  if (self->open_handles == 0) { /* uv_poll_init refused: nothing to close */
    release_references(self);
    free_handle(self);
    return make_int(env, result);
  }
  link_handle(self->owner, self);
  if (result != 0) {
    close_handle(self);
    return make_int(env, result);
  }
  return external;
}

/* The handle that an external names, if it is open still; NULL with a TypeError otherwise. */
static poll_handle* get_handle(napi_env env, napi_callback_info info) {
  napi_value args[1];
  napi_valuetype type;
  void* data = NULL;
  if (!get_args(env, info, 1, args)) return NULL;
  if (napi_typeof(env, args[0], &type) == napi_ok && type == napi_external &&
      napi_get_value_external(env, args[0], &data) == napi_ok) {
    instance* self = get_instance(env);
    for (poll_handle* handle = self->polls; handle != NULL; handle = handle->next)
      if (handle == data) return handle;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "not an open poll handle");
  return NULL;
}

static napi_value js_poll_ref(napi_env env, napi_callback_info info) {
  poll_handle* self = get_handle(env, info);
  if (self == NULL) return NULL;
  self->counters[REFERENCED] = 1;
  uv_ref(self->poll);
  return NULL;
}

static napi_value js_poll_close(napi_env env, napi_callback_info info) {
  poll_handle* self = get_handle(env, info);
  if (self != NULL) close_handle(self);
  return NULL;
}

napi_status uvpoll_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("pollOpen", js_poll_open),
      FUNCTION("pollRef", js_poll_ref),
      FUNCTION("pollClose", js_poll_close),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
