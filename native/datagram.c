/*
 * datagram.c - recvfrom(2), sendto(2), recvmmsg(2), sendmmsg(2), and an interface's number.
 *
 * Datagrams pass through slots: one piece of shared memory per thread, whose place is known here as
 * that of the scratch buffer is. Its layout is that of src/syscall/slots.ts:
 *
 *   SLOTS heads of HEAD_SIZE bytes    int32 length of the datagram, int32 length of its sockaddr,
 *                                     then the sockaddr (zeros fill up its last word)
 *   SLOTS times DATA_SIZE bytes       the datagrams, DATA_STRIDE apart
 *
 * A call for one datagram uses the head of slot 0, and its bytes are the caller's or the scratch
 * buffer's. What stands in a head is checked like any argument: JavaScript wrote it.
 *
 * syscall(2) for the reason given in io.c.
 */
#define _GNU_SOURCE
#include "coronet.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS 64
#define HEAD_SIZE 128
#define NAME_AT 8
#define NAME_SIZE 112 /* a sockaddr_un and the NUL that the kernel may add (unix(7)) */
#define DATA_SIZE 65536
/* Not a power of two: the beginnings of all datagrams would share a few places of the cache. */
#define DATA_STRIDE (DATA_SIZE + 192)
#define DATA_AT (SLOTS * HEAD_SIZE)
#define MEMORY_SIZE (DATA_AT + SLOTS * DATA_STRIDE)

/* udp(7): one message whose bytes the kernel cuts into datagrams of one size. */
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#define UDP_SEGMENT 103
/* A datagram that fits into a packet of the usual network (1500 bytes with IPv6's headers). */
#define SEGMENT_AT_MOST 1452
#define SEGMENTS_TOTAL 65000

typedef union {
  char bytes[CMSG_SPACE(sizeof(uint16_t))];
  struct cmsghdr align;
} segment_size;

struct datagram_slots {
  uint8_t* memory;
  struct mmsghdr in[SLOTS], out[SLOTS];
  struct iovec in_parts[SLOTS], out_parts[SLOTS];
  segment_size sizes[SLOTS];
  int runs[SLOTS]; /* how many slots each message of `out` stands for */
};

typedef struct {
  int32_t length, name_length;
} head;

static uint8_t* head_of(const struct datagram_slots* slots, int slot) {
  return slots->memory + slot * HEAD_SIZE;
}

static void prepare(struct datagram_slots* slots, uint8_t* memory) {
  slots->memory = memory;
  for (int i = 0; i < SLOTS; i++) {
    uint8_t* data = memory + DATA_AT + i * DATA_STRIDE;
    slots->in_parts[i] = (struct iovec){.iov_base = data, .iov_len = DATA_SIZE};
    slots->out_parts[i] = (struct iovec){.iov_base = data, .iov_len = 0};
    slots->in[i].msg_hdr.msg_name = head_of(slots, i) + NAME_AT;
    slots->in[i].msg_hdr.msg_namelen = NAME_SIZE;
    slots->in[i].msg_hdr.msg_iov = &slots->in_parts[i];
    slots->in[i].msg_hdr.msg_iovlen = 1;
  }
}

/* setSlots(memory): tells once where this thread's slots are. */
static napi_value js_set_slots(napi_env env, napi_callback_info info) {
  napi_value args[1];
  uint8_t* memory;
  size_t length;
  instance* self = get_instance(env);
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], "slots", &memory, &length) ||
      !stays(env, args[0], "slots must be backed by a SharedArrayBuffer"))
    return NULL;
  if (length != MEMORY_SIZE || (uintptr_t)memory % sizeof(int32_t) != 0) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "slots must have their exact size");
    return NULL;
  }
  napi_ref reference;
  if (self->slots == NULL) self->slots = calloc(1, sizeof *self->slots);
  if (self->slots == NULL || napi_create_reference(env, args[0], 1, &reference) != napi_ok) {
    napi_throw_error(env, "ERR_OUT_OF_MEMORY", "no memory for the slots");
    return NULL;
  }
  if (self->slots_ref != NULL) napi_delete_reference(env, self->slots_ref);
  self->slots_ref = reference;
  prepare(self->slots, memory);
  return NULL;
}

static struct datagram_slots* get_slots(napi_env env) {
  struct datagram_slots* slots = get_instance(env)->slots;
  if (slots == NULL || slots->memory == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_STATE", "setSlots must be called first");
    return NULL;
  }
  return slots;
}

static bool get_count(napi_env env, napi_value value, int32_t* count) {
  if (!get_int(env, value, "count", count)) return false;
  if (*count >= 0 && *count <= SLOTS) return true;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "count must be a number of slots");
  return false;
}

static bool get_name_length(napi_env env, napi_value value, int32_t* length) {
  if (!get_int(env, value, "nameLength", length)) return false;
  if (*length >= 0 && *length <= NAME_SIZE) return true;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "nameLength must lie within a slot's name");
  return false;
}

/* The head of a slot whose name the kernel has written. */
static void put_head(const struct datagram_slots* slots, int slot, size_t length, socklen_t name) {
  uint8_t* at = head_of(slots, slot);
  head written = {.length = (int32_t)length, .name_length = name < NAME_SIZE ? (int32_t)name : NAME_SIZE};
  memcpy(at, &written, sizeof written);
  for (int32_t i = written.name_length; i % (int32_t)sizeof(int32_t) != 0; i++) at[NAME_AT + i] = 0;
}

/* recvfrom(fd, buffer, offset, length): the whole length of the datagram, even when the buffer held
 * less of it; its sender is in slot 0. */
static napi_value js_recvfrom(napi_env env, napi_callback_info info) {
  napi_value args[4];
  int32_t fd;
  uint8_t* data;
  size_t length;
  struct datagram_slots* slots = get_slots(env);
  if (slots == NULL || !get_args(env, info, 4, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &length))
    return NULL;
  ssize_t n;
  socklen_t name = NAME_SIZE;
  RETRY_EINTR(n, syscall(SYS_recvfrom, fd, data, length, MSG_TRUNC, head_of(slots, 0) + NAME_AT, &name));
  if (n >= 0) put_head(slots, 0, (size_t)n, name);
  return result_of(env, n);
}

/* recvmmsg(fd, count): takes what is there, at most `count` datagrams, into the slots from 0 on. */
static napi_value js_recvmmsg(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, count;
  struct datagram_slots* slots = get_slots(env);
  if (slots == NULL || !get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_count(env, args[1], &count))
    return NULL;
  long n;
  RETRY_EINTR(n, syscall(SYS_recvmmsg, fd, slots->in, (unsigned)count, MSG_TRUNC, NULL));
  for (int i = 0; i < n; i++) {
    put_head(slots, i, slots->in[i].msg_len, slots->in[i].msg_hdr.msg_namelen);
    slots->in[i].msg_hdr.msg_namelen = NAME_SIZE;
  }
  return result_of(env, n);
}

static ssize_t send_to(const struct datagram_slots* slots, int fd, const uint8_t* data, size_t length,
                       int32_t name_length) {
  ssize_t n;
  const uint8_t* name = name_length == 0 ? NULL : head_of(slots, 0) + NAME_AT;
  RETRY_EINTR(n, syscall(SYS_sendto, fd, data, length, MSG_NOSIGNAL, name, (socklen_t)name_length));
  return n;
}

/* sendto(fd, buffer, offset, length, nameLength): to the address in slot 0. */
static napi_value js_sendto(napi_env env, napi_callback_info info) {
  napi_value args[5];
  int32_t fd, name_length;
  uint8_t* data;
  size_t length;
  struct datagram_slots* slots = get_slots(env);
  if (slots == NULL || !get_args(env, info, 5, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &length) || !get_name_length(env, args[4], &name_length))
    return NULL;
  return result_of(env, send_to(slots, fd, data, length, name_length));
}

/* sendScratchTo(fd, length, nameLength): as sendto, of the first bytes of the scratch buffer. */
static napi_value js_send_scratch_to(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t fd, length, name_length;
  instance* self = get_instance(env);
  struct datagram_slots* slots = get_slots(env);
  if (slots == NULL || !get_args(env, info, 3, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "length", &length) || !get_name_length(env, args[2], &name_length))
    return NULL;
  if (length < 0 || (size_t)length > self->scratch_length) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "length must lie within the scratch buffer");
    return NULL;
  }
  return result_of(env, send_to(slots, fd, self->scratch, (size_t)length, name_length));
}

/* Takes the lengths out of the heads; false when one does not lie within its slot. */
static bool get_heads(struct datagram_slots* slots, int count, head* heads) {
  for (int i = 0; i < count; i++) {
    memcpy(&heads[i], head_of(slots, i), sizeof heads[i]);
    if (heads[i].length < 0 || heads[i].length > DATA_SIZE || heads[i].name_length < 0 ||
        heads[i].name_length > NAME_SIZE)
      return false;
    slots->out_parts[i].iov_len = (size_t)heads[i].length;
  }
  return true;
}

/* How many slots from `first` on go to one receiver and have one length; the last may be shorter. */
static int run_length(const struct datagram_slots* slots, const head* heads, int first, int count) {
  const head* begin = &heads[first];
  int total = begin->length, run = 1;
  if (total == 0 || total > SEGMENT_AT_MOST) return 1;
  for (int i = first + 1; i < count; i++, run++) {
    int length = heads[i].length;
    total += length;
    if (length == 0 || length > begin->length || heads[i - 1].length < begin->length ||
        total > SEGMENTS_TOTAL || heads[i].name_length != begin->name_length ||
        memcmp(head_of(slots, i) + NAME_AT, head_of(slots, first) + NAME_AT,
               (size_t)begin->name_length) != 0)
      break;
  }
  return run;
}

static void cut_into(struct msghdr* message, segment_size* space, uint16_t size) {
  message->msg_control = space->bytes;
  message->msg_controllen = sizeof space->bytes;
  struct cmsghdr* control = CMSG_FIRSTHDR(message);
  control->cmsg_level = SOL_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof size);
  memcpy(CMSG_DATA(control), &size, sizeof size);
}

/* Makes messages of the slots: one of each, or one of each run. How many messages. */
static unsigned make_messages(struct datagram_slots* slots, const head* heads, int count, bool runs) {
  unsigned messages = 0;
  for (int i = 0; i < count; i += slots->runs[messages++]) {
    struct msghdr* message = &slots->out[messages].msg_hdr;
    int run = runs ? run_length(slots, heads, i, count) : 1;
    slots->runs[messages] = run;
    memset(message, 0, sizeof *message);
    message->msg_name = heads[i].name_length == 0 ? NULL : head_of(slots, i) + NAME_AT;
    message->msg_namelen = (socklen_t)heads[i].name_length;
    message->msg_iov = &slots->out_parts[i];
    message->msg_iovlen = (size_t)run;
    if (run > 1) cut_into(message, &slots->sizes[messages], (uint16_t)heads[i].length);
  }
  return messages;
}

/* sendmmsg(fd, count, runs): sends the first `count` slots, each to the address in its head (none when
 * that is empty). How many were sent; the error of the first one that was not is told by the next call.
 * With `runs` 1, datagrams of one length to one receiver go through the kernel together (UDP_SEGMENT):
 * an error may then be that of any of them, or the kernel's that it can't do so. */
static napi_value js_sendmmsg(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t fd, count, runs;
  head heads[SLOTS];
  struct datagram_slots* slots = get_slots(env);
  if (slots == NULL || !get_args(env, info, 3, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_count(env, args[1], &count) || !get_int(env, args[2], "runs", &runs))
    return NULL;
  if (!get_heads(slots, count, heads)) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a slot's lengths must lie within it");
    return NULL;
  }
  unsigned messages = make_messages(slots, heads, count, runs != 0);
  long n;
  RETRY_EINTR(n, syscall(SYS_sendmmsg, fd, slots->out, messages, MSG_NOSIGNAL));
  if (n == -1) return result_of(env, -1);
  int sent = 0;
  for (long i = 0; i < n; i++) sent += slots->runs[i];
  return make_int(env, sent);
}

/* ifNameToIndex(name in bytes): an interface's number, or -errno. */
static napi_value js_if_name_to_index(napi_env env, napi_callback_info info) {
  napi_value args[1];
  uint8_t* bytes;
  size_t length;
  char name[IF_NAMESIZE] = {0};
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], "name", &bytes, &length)) return NULL;
  if (length == 0 || length >= sizeof name) return make_int(env, -ENODEV);
  memcpy(name, bytes, length);
  unsigned index = if_nametoindex(name);
  return result_of(env, index == 0 ? -1 : (int64_t)index);
}

napi_status datagram_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("setSlots", js_set_slots),
      FUNCTION("recvfrom", js_recvfrom),
      FUNCTION("recvmmsg", js_recvmmsg),
      FUNCTION("sendto", js_sendto),
      FUNCTION("sendScratchTo", js_send_scratch_to),
      FUNCTION("sendmmsg", js_sendmmsg),
      FUNCTION("ifNameToIndex", js_if_name_to_index),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
