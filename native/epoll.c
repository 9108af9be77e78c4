/*
 * epoll.c - epoll_create1(2), epoll_ctl(2), epoll_wait(2) and eventfd(2).
 *
 * An interest carries two 32-bit words of the caller's (slot and sequence number) instead of a
 * pointer. An event reaches JavaScript as three consecutive int32: slot, sequence, event bits.
 */
#include "epoll.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

int epoll_collect(int epfd, int32_t* out, int max, int timeout_ms) {
  struct epoll_event events[MAX_EVENTS];
  if (max > MAX_EVENTS) max = MAX_EVENTS;
  int n = epoll_wait(epfd, events, max, timeout_ms);
  if (n == -1) return -errno;
  for (int i = 0; i < n; i++) {
    uint64_t data = events[i].data.u64;
    out[i * 3] = (int32_t)(uint32_t)(data >> 32);
    out[i * 3 + 1] = (int32_t)(uint32_t)data;
    out[i * 3 + 2] = (int32_t)events[i].events;
  }
  return n;
}

bool get_events(napi_env env, napi_value value, int32_t** out, size_t* capacity) {
  napi_typedarray_type type = napi_float64_array;
  size_t length = 0;
  void* data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array || length < 3 || data == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "events must be an Int32Array, 3 per event");
    return false;
  }
  *out = data;
  *capacity = length / 3;
  return true;
}

static napi_value js_epoll_create1(napi_env env, napi_callback_info info) {
  (void)info;
  return own_fd(env, epoll_create1(EPOLL_CLOEXEC));
}

/* epollCtl(epfd, op, fd, events, slot, sequence) */
static napi_value js_epoll_ctl(napi_env env, napi_callback_info info) {
  napi_value args[6];
  int32_t epfd, op, fd, bits, slot, sequence;
  if (!get_args(env, info, 6, args) || !get_int(env, args[0], "epfd", &epfd) ||
      !get_int(env, args[1], "op", &op) || !get_int(env, args[2], "fd", &fd) ||
      !get_int(env, args[3], "events", &bits) || !get_int(env, args[4], "slot", &slot) ||
      !get_int(env, args[5], "sequence", &sequence))
    return NULL;
  struct epoll_event event = {
      .events = (uint32_t)bits,
      .data.u64 = (uint64_t)(uint32_t)slot << 32 | (uint32_t)sequence,
  };
  return result_of(env, epoll_ctl(epfd, op, fd, &event));
}

/* epollWait(epfd, Int32Array, timeout in ms): events written, or -errno. EINTR counts as no event
 * when a timeout was given (the caller knows how long it still wants to wait). */
static napi_value js_epoll_wait(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t epfd, timeout_ms;
  int32_t* out;
  size_t capacity;
  if (!get_args(env, info, 3, args) || !get_int(env, args[0], "epfd", &epfd) ||
      !get_events(env, args[1], &out, &capacity) ||
      !get_int(env, args[2], "timeout", &timeout_ms))
    return NULL;
  int max = capacity > MAX_EVENTS ? MAX_EVENTS : (int)capacity;
  return make_int(env, epoll_collect(epfd, out, max, timeout_ms));
}

static napi_value js_eventfd(napi_env env, napi_callback_info info) {
  (void)info;
  return own_fd(env, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

napi_status epoll_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("epollCreate1", js_epoll_create1),
      FUNCTION("epollCtl", js_epoll_ctl),
      FUNCTION("epollWait", js_epoll_wait),
      FUNCTION("eventfd", js_eventfd),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
