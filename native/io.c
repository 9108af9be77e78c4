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
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

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

/*
 * The scratch buffer: nearly all messages are small, and finding out where a typed array's bytes are
 * costs a third of such a call. So small messages pass through one buffer whose place is known.
 *
 * syscall(2) rather than recv(2) and send(2): in a process with threads glibc makes those cancellation
 * points, which costs two atomic operations per call. Nobody cancels threads here.
 */
static napi_value js_set_scratch(napi_env env, napi_callback_info info) {
  napi_value args[1];
  uint8_t* data;
  size_t length;
  instance* self = get_instance(env);
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], "scratch", &data, &length) ||
      !stays(env, args[0], "scratch must be backed by a SharedArrayBuffer"))
    return NULL;
  if (self->scratch_ref != NULL) napi_delete_reference(env, self->scratch_ref);
  self->scratch = NULL;
  self->scratch_length = 0;
  self->scratch_ref = NULL;
  if (napi_create_reference(env, args[0], 1, &self->scratch_ref) != napi_ok) return NULL;
  self->scratch = data;
  self->scratch_length = length;
  return NULL;
}

static napi_value js_recv_scratch(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  instance* self = get_instance(env);
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  ssize_t n;
  RETRY_EINTR(n, syscall(SYS_recvfrom, fd, self->scratch, self->scratch_length, 0, NULL, NULL));
  return result_of(env, n);
}

static napi_value js_send_scratch(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, length;
  instance* self = get_instance(env);
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "length", &length))
    return NULL;
  if (length < 0 || (size_t)length > self->scratch_length) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "length must lie within the scratch buffer");
    return NULL;
  }
  ssize_t n;
  RETRY_EINTR(n, syscall(SYS_sendto, fd, self->scratch, (size_t)length, MSG_NOSIGNAL, NULL, 0));
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

/* The chunks of an array from `first` on, at most MAX_IOV of them. */
static bool get_chunks(napi_env env, napi_value array, int32_t first, napi_value* chunks,
                       size_t* count) {
  uint32_t total = 0;
  if (napi_get_array_length(env, array, &total) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "chunks must be an array");
    return false;
  }
  if (first < 0 || (uint32_t)first > total) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "first must lie within the array");
    return false;
  }
  *count = total - (uint32_t)first < MAX_IOV ? total - (uint32_t)first : MAX_IOV;
  for (size_t i = 0; i < *count; i++)
    if (napi_get_element(env, array, (uint32_t)first + (uint32_t)i, &chunks[i]) != napi_ok)
      return false; /* a getter threw */
  return true;
}

/* Arguments (array of Uint8Array, index of the first, offset within it): fills iov with at most
 * MAX_IOV parts. All chunks are fetched before the first address is taken: fetching may run a getter,
 * which may take the memory of a chunk away. */
bool get_iovec(napi_env env, napi_value* three, struct iovec* iov, size_t* count) {
  napi_value chunks[MAX_IOV];
  int32_t first, offset;
  if (!get_int(env, three[1], "first", &first) || !get_int(env, three[2], "offset", &offset) ||
      !get_chunks(env, three[0], first, chunks, count))
    return false;
  for (size_t i = 0; i < *count; i++) {
    uint8_t* data;
    size_t length;
    if (!get_bytes(env, chunks[i], "each chunk", &data, &length)) return false;
    size_t skip = i == 0 ? (size_t)offset : 0;
    if (offset < 0 || skip > length) {
      napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "offset must lie within the first chunk");
      return false;
    }
    iov[i].iov_base = length == 0 ? NULL : data + skip;
    iov[i].iov_len = length - skip;
  }
  return true;
}

static bool get_vector(napi_env env, napi_callback_info info, int32_t* fd, struct iovec* iov,
                       size_t* count) {
  napi_value args[4];
  return get_args(env, info, 4, args) && get_int(env, args[0], "fd", fd) &&
         get_iovec(env, args + 1, iov, count);
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
 * belong to someone else by now. Only an fd that this environment opened can be closed here, and not
 * while a poll handle watches it, other threads wake this one by it, or TLS runs on it: they would go
 * on with whoever gets its number. */
static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  instance* self = get_instance(env);
  if (!fd_table_has(&self->fds, fd)) return make_int(env, -EBADF);
  if (uvpoll_watches(self, fd) || shared_watches(self, fd) || tls_watches(self, fd))
    return make_int(env, -EBUSY);
  fd_table_clear(&self->fds, fd);
  account_fds(self, -1);
  return result_of(env, close(fd));
}

napi_status io_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("read", js_read), FUNCTION("write", js_write),
      FUNCTION("recv", js_recv), FUNCTION("recvPacket", js_recv_packet),
      FUNCTION("setScratch", js_set_scratch), FUNCTION("recvScratch", js_recv_scratch),
      FUNCTION("sendScratch", js_send_scratch), FUNCTION("peek", js_peek), FUNCTION("send", js_send),
      FUNCTION("writev", js_writev),
      FUNCTION("readv", js_readv), FUNCTION("close", js_close),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
