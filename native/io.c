/*
 * io.c - read(2), write(2), readv(2), writev(2) and their socket forms, and close(2).
 *
 * Sockets are read with recv(2) and written with send(2), sendmsg(2) and MSG_NOSIGNAL, so that a
 * broken pipe is an errno and never a signal. read and write serve what is not a socket (eventfd).
 */
#define _GNU_SOURCE
#include "coronet.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_IOV 1024 /* IOV_MAX on Linux (limits.h, sysconf(3)) */

typedef struct {
  int32_t fd;
  uint8_t* data;
  size_t length;
} span_call;

static bool get_span_call(napi_env env, napi_callback_info info, span_call* call) {
  napi_value args[4];
  return get_args(env, info, 4, args) && get_int(env, args[0], "fd", &call->fd) &&
         get_span(env, args + 1, &call->data, &call->length);
}

static napi_value js_read(napi_env env, napi_callback_info info) {
  span_call call;
  if (!get_span_call(env, info, &call)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, read(call.fd, call.data, call.length));
  return result_of(env, n);
}

static napi_value js_write(napi_env env, napi_callback_info info) {
  span_call call;
  if (!get_span_call(env, info, &call)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, write(call.fd, call.data, call.length));
  return result_of(env, n);
}

static napi_value js_recv(napi_env env, napi_callback_info info) {
  span_call call;
  if (!get_span_call(env, info, &call)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, recv(call.fd, call.data, call.length, 0));
  return result_of(env, n);
}

/* recvPacket: as recv, but the result is the packet's whole length, even when the buffer held less
 * of it (MSG_TRUNC, recv(2)): the caller can tell that the rest was discarded. */
static napi_value js_recv_packet(napi_env env, napi_callback_info info) {
  span_call call;
  if (!get_span_call(env, info, &call)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, recv(call.fd, call.data, call.length, MSG_TRUNC));
  return result_of(env, n);
}

/* peek(fd): 1 when a byte waits, 0 at the end of the stream, -errno otherwise; consumes nothing. */
static napi_value js_peek(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  char byte;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, recv(fd, &byte, 1, MSG_PEEK));
  return result_of(env, n);
}

static napi_value js_send(napi_env env, napi_callback_info info) {
  span_call call;
  if (!get_span_call(env, info, &call)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, send(call.fd, call.data, call.length, MSG_NOSIGNAL));
  return result_of(env, n);
}

/* Arguments (fd, array of Uint8Array, index of the first, offset within it): fills iov with at
 * most MAX_IOV parts. */
static bool get_vector(napi_env env, napi_callback_info info, int32_t* fd, struct iovec* iov,
                       size_t* count) {
  napi_value args[4];
  int32_t first, offset;
  uint32_t total = 0;
  if (!get_args(env, info, 4, args) || !get_int(env, args[0], "fd", fd) ||
      !get_int(env, args[2], "first", &first) || !get_int(env, args[3], "offset", &offset))
    return false;
  if (napi_get_array_length(env, args[1], &total) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "chunks must be an array");
    return false;
  }
  size_t used = 0;
  for (uint32_t i = (uint32_t)first; i < total && used < MAX_IOV; i++, used++) {
    napi_value item;
    uint8_t* data;
    size_t length;
    if (napi_get_element(env, args[1], i, &item) != napi_ok ||
        !get_bytes(env, item, "each chunk", &data, &length))
      return false;
    size_t skip = used == 0 ? (size_t)offset : 0;
    if (first < 0 || offset < 0 || skip > length) {
      napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "offset must lie within the first chunk");
      return false;
    }
    iov[used].iov_base = length == 0 ? NULL : data + skip;
    iov[used].iov_len = length - skip;
  }
  *count = used;
  return true;
}

static napi_value js_writev(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct iovec iov[MAX_IOV];
  size_t count = 0;
  if (!get_vector(env, info, &fd, iov, &count)) return NULL;
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
  ssize_t n;
  RETRY_EINTR(n, sendmsg(fd, &message, MSG_NOSIGNAL));
  return result_of(env, n);
}

static napi_value js_readv(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct iovec iov[MAX_IOV];
  size_t count = 0;
  if (!get_vector(env, info, &fd, iov, &count)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, readv(fd, iov, (int)count));
  return result_of(env, n);
}

/* close(2) is never retried: on Linux the fd is gone even when it reports EINTR, and its number may
 * belong to someone else by now. Only an fd that this environment opened can be closed here. */
static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  instance* self = get_instance(env);
  if (!fd_table_has(&self->fds, fd)) return make_int(env, -EBADF);
  fd_table_clear(&self->fds, fd);
  return result_of(env, close(fd));
}

napi_status io_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("read", js_read), FUNCTION("write", js_write),
      FUNCTION("recv", js_recv), FUNCTION("recvPacket", js_recv_packet),
      FUNCTION("peek", js_peek), FUNCTION("send", js_send),
      FUNCTION("writev", js_writev),
      FUNCTION("readv", js_readv), FUNCTION("close", js_close),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
