/*
 * threads.c - what passing connections between threads of one process needs: dup(2), and a receive
 * that loses no fd when there is no free number for it.
 */
#define _GNU_SOURCE
#include "coronet.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* dupFd(fd): another number for the same open file. fd may be another thread's. */
static napi_value js_dup_fd(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  return own_fd(env, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/* The fd that a message brought along, or -1. A message of ours never has more than one. */
static int first_fd(struct msghdr* message) {
  struct cmsghdr* header = CMSG_FIRSTHDR(message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len < CMSG_LEN(sizeof(int)))
    return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

/*
 * takeFd(fd, buffer, offset, length, Int32Array(1)): receives one message of a SOCK_SEQPACKET socket
 * and the fd that it carries, which out[0] names, or -1.
 *
 * recvmsg(2) drops an fd for which this process has no number left, and the connection with it. So the
 * message is looked at first, which installs its fd already and leaves it in the queue; only when that
 * worked is it taken out, and its own reference to the fd with it. -EMFILE: it waits in the queue. One
 * thread at a time: another one between the two calls would take what was looked at.
 */
static napi_value js_take_fd(napi_env env, napi_callback_info info) {
  napi_value args[5];
  int32_t fd;
  uint8_t* data;
  size_t length, room;
  napi_typedarray_type type = napi_float64_array;
  void* out = NULL;
  if (!get_args(env, info, 5, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &length))
    return NULL;
  if (napi_get_typedarray_info(env, args[4], &type, &room, &out, NULL, NULL) != napi_ok ||
      type != napi_int32_array || room < 1 || out == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "out must be an Int32Array of length 1");
    return NULL;
  }
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec iov = {.iov_base = data, .iov_len = length};
  struct msghdr message = {
      .msg_iov = &iov,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      /* Not sizeof: the padding would take a second fd, which nobody would close. */
      .msg_controllen = CMSG_LEN(sizeof(int)),
  };
  ssize_t n;
  ((int32_t*)out)[0] = -1;
  RETRY_EINTR(n, recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (n == -1) return make_int(env, -errno);
  int taken = first_fd(&message);
  if (taken == -1 && (message.msg_flags & MSG_CTRUNC)) return make_int(env, -EMFILE);
  instance* self = get_instance(env);
  if (taken != -1 && !fd_table_mark(&self->fds, taken)) {
    close(taken);
    return make_int(env, -ENOMEM);
  }
  RETRY_EINTR(n, recv(fd, data, length, MSG_DONTWAIT));
  if (n == -1 && taken != -1) {
    int error = errno; /* someone else has taken the message all the same */
    fd_table_clear(&self->fds, taken);
    close(taken);
    return make_int(env, -error);
  }
  if (taken != -1) account_fds(self, 1);
  ((int32_t*)out)[0] = taken;
  return result_of(env, n);
}

napi_status threads_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("dupFd", js_dup_fd),
      FUNCTION("takeFd", js_take_fd),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
