/*
 * tls_transfer.c - TLS connections on their way from one thread of the process to another.
 *
 * A connection that leaves its fd is parked under a number, which travels with the open file to the other
 * thread's inbox; whoever comes first with the number gets it, once. Not only the SSL object moves: what
 * was received and not given out, and what was sealed and not sent, go along.
 *
 * Either thread may end meanwhile. A parked connection belongs to its source as long as that lives; after
 * that to the target, and when both are gone it is freed:
 *   orphan     the source's environment has ended
 *   stranded   the target has ended, and what lay in its inbox was sent back, or closed
 * A target is named by the number of its inbox's fd, which the starter of the threads holds open for as long
 * as anybody may send there.
 */
#define _GNU_SOURCE
#include "tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct parked {
  struct parked* next;
  tls_conn* conn;
  const tls_state* source;
  int32_t number, inbox;
  bool orphan, stranded;
} parked;

static struct {
  pthread_mutex_t mutex;
  parked* first;
  int32_t last; /* the number that was given last */
} parking = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void discard(parked* entry) {
  tls_conn_free(entry->conn);
  free(entry);
}

/* Takes out one entry for which `leaves` holds; NULL when there is none. Under the mutex. */
static parked* take(bool (*leaves)(const parked*, const void*), const void* arg) {
  for (parked** at = &parking.first; *at != NULL; at = &(*at)->next) {
    parked* entry = *at;
    if (!leaves(entry, arg)) continue;
    *at = entry->next;
    return entry;
  }
  return NULL;
}

static bool has_number(const parked* entry, const void* number) {
  return entry->number == *(const int32_t*)number;
}

static bool is_lost(const parked* entry, const void* arg) {
  (void)arg;
  return entry->orphan && entry->stranded;
}

static bool is_any(const parked* entry, const void* arg) {
  (void)entry;
  (void)arg;
  return true;
}

static parked* take_number(int32_t number) {
  pthread_mutex_lock(&parking.mutex);
  parked* entry = take(has_number, &number);
  pthread_mutex_unlock(&parking.mutex);
  return entry;
}

static void discard_all(bool (*leaves)(const parked*, const void*)) {
  for (;;) {
    pthread_mutex_lock(&parking.mutex);
    parked* entry = take(leaves, NULL);
    pthread_mutex_unlock(&parking.mutex);
    if (entry == NULL) return;
    discard(entry);
  }
}

/* A thread's environment ends: nobody there will want its connections back. */
void tls_parking_leave(const tls_state* source) {
  pthread_mutex_lock(&parking.mutex);
  for (parked* entry = parking.first; entry != NULL; entry = entry->next)
    if (entry->source == source) entry->orphan = true;
  pthread_mutex_unlock(&parking.mutex);
  discard_all(is_lost);
}

/* The last thread that used TLS has ended. */
void tls_parking_end(void) { discard_all(is_any); }

static int32_t park(tls_conn* conn, int32_t inbox) {
  parked* entry = calloc(1, sizeof *entry);
  if (entry == NULL) return -ENOMEM;
  conn->thread->conns[conn->fd] = NULL;
  entry->conn = conn;
  entry->source = conn->thread;
  entry->inbox = inbox;
  conn->thread = NULL;
  conn->fd = -1;
  pthread_mutex_lock(&parking.mutex);
  parking.last = parking.last == INT32_MAX ? 1 : parking.last + 1;
  entry->number = parking.last;
  entry->next = parking.first;
  parking.first = entry;
  int32_t number = entry->number;
  pthread_mutex_unlock(&parking.mutex);
  return number;
}

/* tlsPark(fd, inbox): takes the connection off its fd, which stays open, for the thread with that inbox.
 * Returns its number; -EBUSY while the handshake is under way. */
static napi_value js_park(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, inbox;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "inbox", &inbox))
    return NULL;
  tls_conn* conn = tls_find(get_instance(env), fd);
  if (conn == NULL) return make_int(env, -EBADF);
  return make_int(env, conn->done ? park(conn, inbox) : -EBUSY);
}

/* tlsUnpark(fd, number): puts the connection on an fd of this thread. -ENOENT: somebody has it already. */
static napi_value js_unpark(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, number;
  tls_state* thread = tls_thread(env);
  if (thread == NULL || !get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "number", &number))
    return NULL;
  if (!fd_table_has(&thread->self->fds, fd)) return make_int(env, -EBADF);
  if (tls_find(thread->self, fd) != NULL) return make_int(env, -EBUSY);
  if (!tls_grow(thread, fd)) return make_int(env, -ENOMEM);
  parked* entry = take_number(number);
  if (entry == NULL) return make_int(env, -ENOENT);
  tls_conn* conn = entry->conn;
  free(entry);
  conn->thread = thread;
  conn->fd = fd;
  thread->conns[fd] = conn;
  tls_report(conn);
  return make_int(env, 0);
}

/* tlsDiscard(number): 0, or -ENOENT when somebody has it. */
static napi_value js_discard(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t number;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "number", &number)) return NULL;
  parked* entry = take_number(number);
  if (entry == NULL) return make_int(env, -ENOENT);
  discard(entry);
  return make_int(env, 0);
}

/* tlsStranded(inbox): the thread with that inbox has ended. How many connections are still parked. */
static napi_value js_stranded(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t inbox, count = 0;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "inbox", &inbox)) return NULL;
  pthread_mutex_lock(&parking.mutex);
  for (parked* entry = parking.first; entry != NULL; entry = entry->next)
    if (entry->inbox == inbox) entry->stranded = true;
  pthread_mutex_unlock(&parking.mutex);
  discard_all(is_lost);
  pthread_mutex_lock(&parking.mutex);
  for (const parked* entry = parking.first; entry != NULL; entry = entry->next) count++;
  pthread_mutex_unlock(&parking.mutex);
  return make_int(env, count);
}

napi_status tls_transfer_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("tlsPark", js_park),
      FUNCTION("tlsUnpark", js_unpark),
      FUNCTION("tlsDiscard", js_discard),
      FUNCTION("tlsStranded", js_stranded),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
