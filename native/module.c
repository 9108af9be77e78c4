/*
 * module.c - loading and unloading: one instance per environment.
 *
 * The end of an environment (process exit, worker.terminate()) runs no JavaScript. The async cleanup
 * hook takes the thread out of the registry of those that can be woken, closes the poll handles, waits
 * for their callbacks, and then closes every fd that is open.
 */
#include "coronet.h"

#include <stdlib.h>

/* When the last closing handle has called back, the environment may go on ending. */
void instance_maybe_finished(instance* self) {
  if (!self->ended || self->closing > 0) return;
  fd_table_close_all(&self->fds);
  napi_remove_async_cleanup_hook(self->cleanup);
  free(self->slots);
  free(self);
}

static void on_environment_end(napi_async_cleanup_hook_handle handle, void* data) {
  instance* self = data;
  self->cleanup = handle;
  self->ended = true;
  shared_end(self);
  tls_end(self);
  uvpoll_close_all(self);
  instance_maybe_finished(self);
}

static napi_value init(napi_env env, napi_value exports) {
  instance* self = calloc(1, sizeof *self);
  if (self == NULL) {
    napi_throw_error(env, "ERR_OUT_OF_MEMORY", "no memory for the addon");
    return NULL;
  }
  self->env = env;
  if (napi_set_instance_data(env, self, NULL, NULL) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_end, self, &self->cleanup) != napi_ok) {
    free(self);
    napi_throw_error(env, "ERR_INIT", "the environment accepts no cleanup hook");
    return NULL;
  }
  if (socket_init(env, exports) != napi_ok || io_init(env, exports) != napi_ok ||
      datagram_init(env, exports) != napi_ok ||
      epoll_init(env, exports) != napi_ok || uvpoll_init(env, exports) != napi_ok ||
      passing_init(env, exports) != napi_ok || splice_init(env, exports) != napi_ok ||
      shared_init(env, exports) != napi_ok || threads_init(env, exports) != napi_ok ||
      tls_init(env, exports) != napi_ok || tls_context_init(env, exports) != napi_ok ||
      tls_facts_init(env, exports) != napi_ok || tls_transfer_init(env, exports) != napi_ok)
    return NULL;
  return exports;
}

NAPI_MODULE(coronet, init)
