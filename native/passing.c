/*
 * passing.c - file descriptors that come from elsewhere or go there: sendmsg(2) and recvmsg(2) with
 * SCM_RIGHTS (unix(7)), and fds that this environment takes over or gives away.
 */
#define _GNU_SOURCE
#include "coronet.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 253 /* SCM_MAX_FD, unix(7): more are EINVAL */

/* What out[] of recvmsgFds begins with. */
#define OUT_ARRIVED 0
#define OUT_TRUNCATED 1
#define OUT_FDS 2

/* Room for the most fds that one message can carry, aligned as cmsghdr wants it. */
typedef union {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
} control_buffer;

static bool get_int32s(napi_env env, napi_value value, const char* message, size_t least,
                       int32_t** out, size_t* length) {
  napi_typedarray_type type = napi_float64_array;
  void* data = NULL;
  *length = 0;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return false;
  }
  if (data == NULL) *length = 0; /* detached */
  if (*length < least) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
    return false;
  }
  *out = data;
  return true;
}

/* sendmsgFds(fd, buffer, offset, length, Int32Array of fds): as send, and the fds go along with the
 * first byte. */
static napi_value js_sendmsg_fds(napi_env env, napi_callback_info info) {
  napi_value args[5];
  int32_t fd;
  int32_t* fds;
  size_t count;
  struct iovec iov;
  uint8_t* data;
  if (!get_args(env, info, 5, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &iov.iov_len) ||
      !get_int32s(env, args[4], "fds must be an Int32Array", 0, &fds, &count))
    return NULL;
  if (count > MAX_FDS) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "fds must be 253 at most");
    return NULL;
  }
  control_buffer control;
  iov.iov_base = data;
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  ssize_t n;
  RETRY_EINTR(n, sendmsg(fd, &message, MSG_NOSIGNAL));
  return result_of(env, n);
}

/* Makes an fd that the kernel has put into this process ours; close-on-exec is set already. */
static bool take(instance* self, int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags != -1 && (flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  if (!fd_table_mark(&self->fds, fd)) return false;
  account_fds(self, 1);
  return true;
}

/* Every fd of a message, into out as far as there is room; the others are closed. */
static void take_all(instance* self, struct msghdr* message, int32_t* out, size_t room) {
  size_t arrived = 0;
  for (struct cmsghdr* header = CMSG_FIRSTHDR(message); header != NULL;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++, arrived++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      if (arrived < room && take(self, fd))
        out[OUT_FDS + arrived] = fd;
      else {
        close(fd);
        if (arrived < room) out[OUT_FDS + arrived] = -ENOMEM;
      }
    }
  }
  out[OUT_ARRIVED] = (int32_t)arrived;
}

/* recvmsgFds(fd, buffer, offset, length, Int32Array out): as recv. out[0] tells how many fds came,
 * out[1] is 1 when the kernel had to drop some (MSG_CTRUNC: no free fd), out[2] and so on are the
 * fds, as many as fit; the others are closed. What is received is close-on-exec and non-blocking. */
static napi_value js_recvmsg_fds(napi_env env, napi_callback_info info) {
  napi_value args[5];
  int32_t fd;
  int32_t* out;
  size_t length;
  struct iovec iov;
  uint8_t* data;
  if (!get_args(env, info, 5, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &iov.iov_len) ||
      !get_int32s(env, args[4], "out must be an Int32Array of length 2 at least", OUT_FDS, &out,
                  &length))
    return NULL;
  iov.iov_base = data;
  control_buffer control;
  struct msghdr message = {
      .msg_iov = &iov,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      .msg_controllen = sizeof control.bytes,
  };
  out[OUT_ARRIVED] = out[OUT_TRUNCATED] = 0;
  ssize_t n;
  RETRY_EINTR(n, recvmsg(fd, &message, MSG_CMSG_CLOEXEC));
  if (n == -1) return make_int(env, -errno);
  out[OUT_TRUNCATED] = (message.msg_flags & MSG_CTRUNC) != 0;
  take_all(get_instance(env), &message, out, length - OUT_FDS);
  return make_int(env, n);
}

/* adoptFd(fd): takes an fd over that this process has from elsewhere (inherited, for one): it becomes
 * close-on-exec and non-blocking, can be closed here, and is closed with the environment. */
static napi_value js_adopt_fd(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  instance* self = get_instance(env);
  if (fd_table_has(&self->fds, fd)) return make_int(env, -EEXIST);
  int flags = fcntl(fd, F_GETFD);
  int status = fcntl(fd, F_GETFL);
  if (flags == -1 || status == -1) return make_int(env, -errno);
  if (fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1) return make_int(env, -errno);
  if (fcntl(fd, F_SETFL, status | O_NONBLOCK) == -1) return make_int(env, -errno);
  if (!fd_table_mark(&self->fds, fd)) return make_int(env, -ENOMEM);
  account_fds(self, 1);
  return make_int(env, fd);
}

/* releaseFd(fd): forgets an fd of this environment without closing it; it is someone else's now. */
static napi_value js_release_fd(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  instance* self = get_instance(env);
  if (!fd_table_has(&self->fds, fd)) return make_int(env, -EBADF);
  if (uvpoll_watches(self, fd)) return make_int(env, -EBUSY);
  fd_table_clear(&self->fds, fd);
  account_fds(self, -1);
  return make_int(env, 0);
}

napi_status passing_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("sendmsgFds", js_sendmsg_fds),
      FUNCTION("recvmsgFds", js_recvmsg_fds),
      FUNCTION("adoptFd", js_adopt_fd),
      FUNCTION("releaseFd", js_release_fd),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
