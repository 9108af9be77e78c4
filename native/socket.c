/* socket.c - socket(2), bind(2), listen(2), accept4(2), connect(2), socket options and names. */
#define _GNU_SOURCE
#include "coronet.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* socket(family, type, protocol): always close-on-exec and non-blocking. */
static napi_value js_socket(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t family, type, protocol;
  if (!get_args(env, info, 3, args) || !get_int(env, args[0], "family", &family) ||
      !get_int(env, args[1], "type", &type) || !get_int(env, args[2], "protocol", &protocol))
    return NULL;
  return own_fd(env, socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

/* socketpair(family, type, Int32Array(2)): fills in two connected fds. */
static napi_value js_socketpair(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t family, type;
  napi_typedarray_type kind = napi_float64_array;
  size_t length = 0;
  void* out = NULL;
  if (!get_args(env, info, 3, args) || !get_int(env, args[0], "family", &family) ||
      !get_int(env, args[1], "type", &type))
    return NULL;
  if (napi_get_typedarray_info(env, args[2], &kind, &length, &out, NULL, NULL) != napi_ok ||
      kind != napi_int32_array || length < 2 || out == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "out must be an Int32Array of length 2");
    return NULL;
  }
  int pair[2];
  if (socketpair(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
    return make_int(env, -errno);
  instance* self = get_instance(env);
  if (!fd_table_mark(&self->fds, pair[0]) || !fd_table_mark(&self->fds, pair[1])) {
    fd_table_clear(&self->fds, pair[0]);
    close(pair[0]);
    close(pair[1]);
    return make_int(env, -ENOMEM);
  }
  account_fds(self, 2);
  ((int32_t*)out)[0] = pair[0];
  ((int32_t*)out)[1] = pair[1];
  return make_int(env, 0);
}

/* The fd and the sockaddr (a Uint8Array that is exactly the sockaddr) of bind and connect. */
static bool get_address(napi_env env, napi_callback_info info, int32_t* fd,
                        struct sockaddr_storage* address, socklen_t* length) {
  napi_value args[2];
  uint8_t* bytes;
  size_t size;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", fd) ||
      !get_bytes(env, args[1], "sockaddr", &bytes, &size))
    return false;
  if (size < sizeof(sa_family_t) || size > sizeof *address) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "sockaddr has a wrong size");
    return false;
  }
  memset(address, 0, sizeof *address);
  memcpy(address, bytes, size);
  *length = (socklen_t)size;
  return true;
}

static napi_value js_bind(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct sockaddr_storage address;
  socklen_t length;
  if (!get_address(env, info, &fd, &address, &length)) return NULL;
  return result_of(env, bind(fd, (struct sockaddr*)&address, length));
}

/* connect(2) on a non-blocking socket. EINTR is reported, not retried: the attempt goes on by
 * itself and a second call would answer EALREADY (connect(2), POSIX). */
static napi_value js_connect(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct sockaddr_storage address;
  socklen_t length;
  if (!get_address(env, info, &fd, &address, &length)) return NULL;
  return result_of(env, connect(fd, (struct sockaddr*)&address, length));
}

static napi_value js_listen(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, backlog;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "backlog", &backlog))
    return NULL;
  return result_of(env, listen(fd, backlog));
}

/* What accept4, getsockname and getpeername have in common: a buffer for a sockaddr, whose length
 * the caller learns from the first four bytes (native order); the sockaddr begins at byte 4. */
typedef struct {
  int32_t fd;
  uint8_t* out;
  socklen_t length;
} name_call;

static bool get_name_call(napi_env env, napi_callback_info info, name_call* call) {
  napi_value args[2];
  size_t size;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &call->fd) ||
      !get_bytes(env, args[1], "out", &call->out, &size))
    return false;
  if (size < 4 + sizeof(struct sockaddr_storage)) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "out must hold at least 132 bytes");
    return false;
  }
  call->length = sizeof(struct sockaddr_storage);
  return true;
}

static void put_length(const name_call* call) {
  uint32_t length = call->length;
  memcpy(call->out, &length, sizeof length);
}

static napi_value js_accept4(napi_env env, napi_callback_info info) {
  name_call call;
  if (!get_name_call(env, info, &call)) return NULL;
  int fd;
  RETRY_EINTR(fd, accept4(call.fd, (struct sockaddr*)(call.out + 4), &call.length,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd != -1) put_length(&call);
  return own_fd(env, fd);
}

static napi_value js_getsockname(napi_env env, napi_callback_info info) {
  name_call call;
  if (!get_name_call(env, info, &call)) return NULL;
  int result = getsockname(call.fd, (struct sockaddr*)(call.out + 4), &call.length);
  if (result == 0) put_length(&call);
  return result_of(env, result);
}

static napi_value js_getpeername(napi_env env, napi_callback_info info) {
  name_call call;
  if (!get_name_call(env, info, &call)) return NULL;
  int result = getpeername(call.fd, (struct sockaddr*)(call.out + 4), &call.length);
  if (result == 0) put_length(&call);
  return result_of(env, result);
}

/* The fd, level and option that setsockopt and getsockopt begin with, then a buffer. */
typedef struct {
  int32_t fd, level, name;
  uint8_t* value;
  size_t length;
} option_call;

static bool get_option_call(napi_env env, napi_callback_info info, option_call* call) {
  napi_value args[4];
  return get_args(env, info, 4, args) && get_int(env, args[0], "fd", &call->fd) &&
         get_int(env, args[1], "level", &call->level) &&
         get_int(env, args[2], "option", &call->name) &&
         get_bytes(env, args[3], "value", &call->value, &call->length);
}

static napi_value js_setsockopt(napi_env env, napi_callback_info info) {
  option_call call;
  if (!get_option_call(env, info, &call)) return NULL;
  return result_of(env, setsockopt(call.fd, call.level, call.name, call.value,
                                   (socklen_t)call.length));
}

/* getsockopt(fd, level, option, out): the number of bytes that the kernel wrote, or -errno. */
static napi_value js_getsockopt(napi_env env, napi_callback_info info) {
  option_call call;
  if (!get_option_call(env, info, &call)) return NULL;
  socklen_t length = (socklen_t)call.length;
  int result = getsockopt(call.fd, call.level, call.name, call.value, &length);
  return result_of(env, result == -1 ? -1 : (int64_t)length);
}

static napi_value js_shutdown(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, how;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "how", &how))
    return NULL;
  return result_of(env, shutdown(fd, how));
}

/* unsent(fd): bytes in the send queue that the peer has not acknowledged (SIOCOUTQ, tcp(7)). */
static napi_value js_unsent(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  int bytes = 0;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  int result = ioctl(fd, TIOCOUTQ, &bytes);
  return result_of(env, result == -1 ? -1 : bytes);
}

napi_status socket_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("socket", js_socket),           FUNCTION("socketpair", js_socketpair),
      FUNCTION("bind", js_bind),               FUNCTION("connect", js_connect),
      FUNCTION("listen", js_listen),           FUNCTION("accept4", js_accept4),
      FUNCTION("getsockname", js_getsockname), FUNCTION("getpeername", js_getpeername),
      FUNCTION("setsockopt", js_setsockopt),   FUNCTION("getsockopt", js_getsockopt),
      FUNCTION("shutdown", js_shutdown),       FUNCTION("unsent", js_unsent),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
