/*
 * splice.c - bytes from fd to fd without a detour through this process: splice(2) by way of a pipe,
 * and sendfile(2) with what goes before the file.
 *
 * Nothing here waits: pipes are non-blocking and SPLICE_F_NONBLOCK is always given. Node ignores
 * SIGPIPE, so a broken destination is EPIPE; neither call has a flag to say so by itself.
 */
#define _GNU_SOURCE
#include "coronet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* A number of bytes that one call is asked for. */
static bool get_count(napi_env env, napi_value value, const char* name, size_t* out) {
  int32_t count;
  if (!get_int(env, value, name, &count)) return false;
  if (count < 0) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a number of bytes must not be negative");
    return false;
  }
  *out = (size_t)count;
  return true;
}

/* A place in a file: a whole number that a double holds exactly. */
static bool get_position(napi_env env, napi_value value, off_t* out) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "position must be a number");
    return false;
  }
  if (number >= 0 && number < 9007199254740992.0 && number == (double)(int64_t)number) {
    *out = (off_t)number;
    return true;
  }
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "position must be a whole number below 2^53");
  return false;
}

/* pipe2(Int32Array(2)): fills in the end to read from and the end to write to. */
static napi_value js_pipe2(napi_env env, napi_callback_info info) {
  napi_value args[1];
  napi_typedarray_type kind = napi_float64_array;
  size_t length = 0;
  void* out = NULL;
  if (!get_args(env, info, 1, args)) return NULL;
  if (napi_get_typedarray_info(env, args[0], &kind, &length, &out, NULL, NULL) != napi_ok ||
      kind != napi_int32_array || length < 2 || out == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "out must be an Int32Array of length 2");
    return NULL;
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) return make_int(env, -errno);
  instance* self = get_instance(env);
  if (!fd_table_mark(&self->fds, ends[0]) || !fd_table_mark(&self->fds, ends[1])) {
    fd_table_clear(&self->fds, ends[0]);
    close(ends[0]);
    close(ends[1]);
    return make_int(env, -ENOMEM);
  }
  account_fds(self, 2);
  ((int32_t*)out)[0] = ends[0];
  ((int32_t*)out)[1] = ends[1];
  return make_int(env, 0);
}

/* setPipeSize(fd, bytes): the pipe's capacity, which the kernel rounds up (F_SETPIPE_SZ, fcntl(2)). */
static napi_value js_set_pipe_size(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd;
  size_t bytes;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_count(env, args[1], "bytes", &bytes))
    return NULL;
  return result_of(env, fcntl(fd, F_SETPIPE_SZ, (int)bytes));
}

/* splice(from, to, length): moves bytes between two fds of which one is a pipe. */
static napi_value js_splice(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t from, to;
  size_t length;
  if (!get_args(env, info, 3, args) || !get_int(env, args[0], "from", &from) ||
      !get_int(env, args[1], "to", &to) || !get_count(env, args[2], "length", &length))
    return NULL;
  ssize_t n;
  RETRY_EINTR(n, splice(from, NULL, to, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
  return result_of(env, n);
}

/* sendfile(to, file, position, length): the file's own position stays where it is. */
static napi_value js_sendfile(napi_env env, napi_callback_info info) {
  napi_value args[4];
  int32_t to, file;
  off_t position;
  size_t length;
  if (!get_args(env, info, 4, args) || !get_int(env, args[0], "to", &to) ||
      !get_int(env, args[1], "file", &file) || !get_position(env, args[2], &position) ||
      !get_count(env, args[3], "length", &length))
    return NULL;
  ssize_t n;
  RETRY_EINTR(n, sendfile(to, file, &position, length));
  return result_of(env, n);
}

/* sendMore(fd, buffer, offset, length): as send, of what more follows at once: TCP waits for that before
 * it sends a packet that is not full (MSG_MORE, send(2)). */
static napi_value js_send_more(napi_env env, napi_callback_info info) {
  napi_value args[4];
  int32_t fd;
  uint8_t* data;
  size_t length;
  if (!get_args(env, info, 4, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &length))
    return NULL;
  ssize_t n;
  RETRY_EINTR(n, send(fd, data, length, MSG_NOSIGNAL | MSG_MORE));
  return result_of(env, n);
}

napi_status splice_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("pipe2", js_pipe2), FUNCTION("setPipeSize", js_set_pipe_size),
      FUNCTION("splice", js_splice), FUNCTION("sendfile", js_sendfile),
      FUNCTION("sendMore", js_send_more),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
