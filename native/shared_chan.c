/*
 * shared_chan.c - a bounded channel between threads: a ring of messages in shared memory.
 *
 *   header, receivers and senders that wait | tail: producers | head: consumers | ring
 *
 * Producers share the tail's lock and consumers the head's, so the two sides meet only in the positions.
 * A position counts bytes since the beginning, modulo 2^32; the ring's size is a power of two, so the
 * place is its low bits. Each side keeps what it last saw of the other and looks again only when that
 * does not suffice: in a steady flow the other's cache line is left alone.
 *
 * A message is 8 bytes (length, tag), then its bytes, rounded up to a multiple of 8.
 *
 * Who wakes whom: a message wakes one thread that waits to receive, room wakes one that waits to send,
 * the end wakes all. A thread that was woken and has no use for it passes it on (chanDisarm); when a
 * thread ends, the addon does that in its place.
 */
#include "shared.h"

#include <errno.h>
#include <string.h>

#define LARGEST_RING (1u << 27)
#define MESSAGE_HEADER 8u

typedef struct {
  shared_header header;
  uint32_t padding1[9];
  waiting receivers; /* at byte 64; src/shared/memory.ts knows both places */
  uint32_t padding2[7];
  waiting senders; /* at byte 128 */
  uint32_t padding3[23];
  struct {
    shared_word lock, position, sent;
    shared_word seen_head, seen_received;
  } tail; /* at byte 256 */
  uint32_t padding4[27];
  struct {
    shared_word lock, position, received;
    shared_word seen_tail;
  } head; /* at byte 384 */
  uint32_t padding5[28];
  uint8_t ring[]; /* at byte 512 */
} chan;

_Static_assert(offsetof(chan, receivers) == 64 && offsetof(chan, senders) == 128 &&
                   offsetof(chan, tail) == 256 && offsetof(chan, head) == 384 &&
                   offsetof(chan, ring) == 512,
               "each side has cache lines of its own");

enum { SIZE = 0, CAPACITY = 1 };
enum { SENT = 0, FULL = 1, CLOSED = 2 };
enum { EMPTY = -1, END = -2, DAMAGED = -3, LARGE = -16 };
enum { RECEIVERS = 0, SENDERS = 1 };
enum { TAG_NUMBER = 2, TAG_TEXT = 1, FIRST_EMPTY_TAG = 4, TAGS = 8 };

bool chan_sizes_fit(const uint32_t* sizes, size_t length) {
  uint32_t size = sizes[SIZE];
  return size >= 64 && size <= LARGEST_RING && (size & (size - 1)) == 0 && sizes[CAPACITY] >= 1 &&
         length >= sizeof(chan) + size;
}

static uint32_t rounded(uint32_t length) {
  return (length + 7u) & ~7u;
}

static uint32_t load(shared_word* word) {
  return atomic_load_explicit(word, memory_order_acquire);
}

static void store(shared_word* word, uint32_t value) {
  atomic_store_explicit(word, value, memory_order_release);
}

/* ---- the ring: positions are masked, so nothing outside can be reached */

static void copy_in(chan* ch, uint32_t size, uint32_t position, const void* data, uint32_t n) {
  uint32_t at = position & (size - 1);
  uint32_t first = n < size - at ? n : size - at;
  memcpy(ch->ring + at, data, first);
  if (n > first) memcpy(ch->ring, (const uint8_t*)data + first, n - first);
}

static void copy_out(chan* ch, uint32_t size, uint32_t position, void* data, uint32_t n) {
  uint32_t at = position & (size - 1);
  uint32_t first = n < size - at ? n : size - at;
  memcpy(data, ch->ring + at, first);
  if (n > first) memcpy((uint8_t*)data + first, ch->ring, n - first);
}

/* ---- sending */

typedef struct {
  uint32_t tag;
  uint32_t length;
  const uint8_t* data;
} message;

static bool has_room(chan* ch, const shared_memory* memory, uint32_t tail, uint32_t need) {
  uint32_t used = tail - load(&ch->tail.seen_head);
  uint32_t waiting_messages = load(&ch->tail.sent) - load(&ch->tail.seen_received);
  return used <= memory->sizes[SIZE] - need && waiting_messages < memory->sizes[CAPACITY];
}

/* Looks at what the consumers have done meanwhile. */
static bool has_room_now(chan* ch, const shared_memory* memory, uint32_t tail, uint32_t need) {
  store(&ch->tail.seen_head, load(&ch->head.position) & ~7u);
  store(&ch->tail.seen_received, load(&ch->head.received));
  return has_room(ch, memory, tail, need);
}

/* With the tail's lock held. When armed, this thread is woken when there may be room. */
static int enqueue(chan* ch, const shared_memory* memory, const message* m, int slot) {
  uint32_t size = memory->sizes[SIZE];
  uint32_t need = MESSAGE_HEADER + rounded(m->length);
  uint32_t tail = load(&ch->tail.position) & ~7u;
  if (load(&ch->header.closed) != 0) return CLOSED;
  if (!has_room(ch, memory, tail, need) && !has_room_now(ch, memory, tail, need)) {
    if (tail - load(&ch->tail.seen_head) > size) return DAMAGED;
    if (slot < 0) return FULL;
    waiting_add(&ch->senders, slot);
    if (!has_room_now(ch, memory, tail, need)) return FULL;
    waiting_remove(&ch->senders, slot);
  }
  uint32_t header[2] = {m->length, m->tag};
  copy_in(ch, size, tail, header, sizeof header);
  if (m->length > 0) copy_in(ch, size, tail + MESSAGE_HEADER, m->data, m->length);
  store(&ch->tail.sent, load(&ch->tail.sent) + 1);
  store(&ch->tail.position, tail + need);
  return SENT;
}

/* What a call says about itself in one number, because every argument costs: the id, the tag of what
 * is sent, and whether to wait. */
typedef struct {
  shared_memory* memory;
  uint32_t tag;
  int slot; /* this thread's, or -1 for not to wait */
} operation;

static bool get_operation(napi_env env, napi_value value, const char* name, operation* op) {
  instance* self = get_instance(env);
  int32_t number;
  if (!get_int(env, value, name, &number)) return false;
  op->memory = memory_of(env, self, number >> 4, KIND_CHAN);
  if (op->memory == NULL) return false;
  op->tag = (uint32_t)number >> 1 & 7;
  op->slot = (number & 1) != 0 ? self->shared->slot : -1;
  return true;
}

/* The bytes of a value: those of a Uint8Array; of a string in UTF-8, and of a number, by way of the
 * scratch buffer. A string that may not fit there comes as a Uint8Array as well. */
static bool get_message(napi_env env, uint32_t tag, napi_value value, message* m) {
  size_t length = 0;
  uint8_t* data = NULL;
  *m = (message){.tag = tag};
  if (tag >= FIRST_EMPTY_TAG) return true;
  instance* self = get_instance(env);
  napi_valuetype type = napi_undefined;
  if (tag == TAG_NUMBER || tag == TAG_TEXT) napi_typeof(env, value, &type);
  if (tag == TAG_NUMBER && type == napi_number && self->scratch_length >= sizeof(double)) {
    double content = 0;
    napi_get_value_double(env, value, &content);
    memcpy(self->scratch, &content, sizeof content);
    data = self->scratch;
    length = sizeof(double);
  } else if (tag == TAG_TEXT && type == napi_string && self->scratch_length > 0) {
    napi_get_value_string_utf8(env, value, (char*)self->scratch, self->scratch_length, &length);
    data = self->scratch;
    if (length + 4 > self->scratch_length) {
      napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a text of that length comes as bytes");
      return false;
    }
  } else if (!get_bytes(env, value, "value", &data, &length)) {
    return false;
  }
  if (length > LARGEST_RING) length = LARGEST_RING; /* too large for any ring */
  m->length = (uint32_t)length;
  m->data = data;
  return true;
}

/* chanSend(id * 16 + tag * 2 + wait, value): 0 when it is sent, 1 when there is no room, 2 when it is
 * closed. With `wait` this thread is woken when there may be room. */
static napi_value js_send(napi_env env, napi_callback_info info) {
  napi_value args[2];
  operation op;
  message m;
  if (!get_args(env, info, 2, args) || !get_operation(env, args[0], "operation", &op) ||
      !get_message(env, op.tag, args[1], &m))
    return NULL;
  if (rounded(m.length) > op.memory->sizes[SIZE] - MESSAGE_HEADER) {
    napi_throw_range_error(env, "ERR_MESSAGE_SIZE", "the message is larger than the ring");
    return NULL;
  }
  chan* ch = (chan*)op.memory->base;
  if (!shared_lock(&ch->tail.lock)) return overwritten(env), NULL;
  int result = enqueue(ch, op.memory, &m, op.slot);
  shared_unlock(&ch->tail.lock);
  if (result == DAMAGED) return overwritten(env), NULL;
  if (result == SENT) wake_one(&ch->receivers);
  return make_int(env, result);
}

/* ---- receiving */

/* Bytes of messages that are there; looks at the tail only when none were seen. */
static uint32_t used_bytes(chan* ch, uint32_t size, uint32_t head) {
  uint32_t used = load(&ch->head.seen_tail) - head;
  if (used != 0 && used <= size) return used;
  uint32_t tail = load(&ch->tail.position) & ~7u;
  store(&ch->head.seen_tail, tail);
  return tail - head;
}

/* Waits for nothing: the bytes that are there, or that there are none and why. */
static int64_t look(chan* ch, uint32_t size, uint32_t head, int slot) {
  for (bool armed = false;; armed = true) {
    /* Before the tail: what was sent before the end is received before it. */
    bool closed = load(&ch->header.closed) != 0;
    uint32_t used = used_bytes(ch, size, head);
    if (used == 0 && !closed && slot >= 0 && !armed) {
      waiting_add(&ch->receivers, slot);
      continue;
    }
    if (armed && (used != 0 || closed)) waiting_remove(&ch->receivers, slot);
    if (used == 0) return closed ? END : EMPTY;
    return used <= size ? (int64_t)used : DAMAGED;
  }
}

/* With the head's lock held: takes the oldest message. Its length and tag in one number, or why not; at
 * LARGE and below, how much room it wants. */
static int32_t dequeue(chan* ch, const shared_memory* memory, uint8_t* out, size_t room, int slot) {
  uint32_t size = memory->sizes[SIZE];
  uint32_t head = load(&ch->head.position) & ~7u;
  int64_t used = look(ch, size, head, slot);
  if (used < 0) return (int32_t)used;
  uint32_t header[2];
  copy_out(ch, size, head, header, sizeof header);
  uint32_t length = header[0];
  if (length > size || MESSAGE_HEADER + rounded(length) > used || header[1] >= TAGS) return DAMAGED;
  if (length > room) return LARGE - (int32_t)length;
  if (length > 0) copy_out(ch, size, head + MESSAGE_HEADER, out, length);
  store(&ch->head.position, head + MESSAGE_HEADER + rounded(length));
  store(&ch->head.received, load(&ch->head.received) + 1);
  return (int32_t)(length << 3 | header[1]);
}

static napi_value receive(napi_env env, shared_memory* memory, uint8_t* out, size_t room, int slot) {
  chan* ch = (chan*)memory->base;
  if (!shared_lock(&ch->head.lock)) return overwritten(env), NULL;
  int32_t result = dequeue(ch, memory, out, room, slot);
  shared_unlock(&ch->head.lock);
  if (result == DAMAGED) return overwritten(env), NULL;
  if (result >= 0) wake_one(&ch->senders);
  return make_int(env, result);
}

/* chanReceive(id * 16 + wait): the oldest message goes into the scratch buffer: its length * 8 + tag. -1
 * when there is none: with `wait` this thread is woken when there may be one. -2 when there is none and
 * the channel is closed. -16 - length when it is larger than the scratch buffer: it stays. */
static napi_value js_receive(napi_env env, napi_callback_info info) {
  napi_value args[1];
  operation op;
  if (!get_args(env, info, 1, args) || !get_operation(env, args[0], "operation", &op)) return NULL;
  instance* self = get_instance(env);
  return receive(env, op.memory, self->scratch, self->scratch_length, op.slot);
}

/* chanReceiveInto(id, buffer, offset, length): as chanReceive, into a buffer, without waiting. */
static napi_value js_receive_into(napi_env env, napi_callback_info info) {
  napi_value args[4];
  uint8_t* data;
  size_t length;
  if (!get_args(env, info, 4, args)) return NULL;
  shared_memory* memory = get_memory(env, args[0], KIND_CHAN);
  if (memory == NULL || !get_span(env, args + 1, &data, &length)) return NULL;
  return receive(env, memory, data, length, -1);
}

/* ---- the rest */

static bool is_empty(chan* ch) {
  return ((load(&ch->tail.position) ^ load(&ch->head.position)) & ~7u) == 0;
}

static uint32_t count_messages(chan* ch) {
  uint32_t received = load(&ch->head.received);
  return load(&ch->tail.sent) - received;
}

static bool is_full(chan* ch, const shared_memory* memory) {
  uint32_t used = load(&ch->tail.position) - load(&ch->head.position);
  return used > memory->sizes[SIZE] - MESSAGE_HEADER ||
         count_messages(ch) >= memory->sizes[CAPACITY];
}

static shared_memory* get_chan(napi_env env, napi_callback_info info, size_t count,
                               napi_value* args) {
  return get_args(env, info, count, args) ? get_memory(env, args[0], KIND_CHAN) : NULL;
}

static bool is_ready(chan* ch, const shared_memory* memory, int32_t side) {
  if (load(&ch->header.closed) != 0) return true;
  return side == RECEIVERS ? !is_empty(ch) : !is_full(ch, memory);
}

/* chanReady(id, side): whether a receive (0) or a send of something small (1) would not wait. */
static napi_value js_ready(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t side;
  shared_memory* memory = get_chan(env, info, 2, args);
  if (memory == NULL || !get_int(env, args[1], "side", &side)) return NULL;
  return make_int(env, is_ready((chan*)memory->base, memory, side));
}

/* chanArm(id, side): this thread is woken when there may be a message (0) or room (1): whether there is
 * already. */
static napi_value js_arm(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t side;
  shared_memory* memory = get_chan(env, info, 2, args);
  if (memory == NULL || !get_int(env, args[1], "side", &side)) return NULL;
  chan* ch = (chan*)memory->base;
  int slot = get_instance(env)->shared->slot;
  if (slot < 0) return make_int(env, -EAGAIN);
  waiting_add(side == RECEIVERS ? &ch->receivers : &ch->senders, slot);
  return make_int(env, is_ready(ch, memory, side));
}

static napi_value js_length(napi_env env, napi_callback_info info) {
  napi_value args[1];
  shared_memory* memory = get_chan(env, info, 1, args);
  if (memory == NULL) return NULL;
  uint32_t length = count_messages((chan*)memory->base);
  uint32_t capacity = memory->sizes[CAPACITY];
  return make_int(env, length < capacity ? length : capacity);
}

static napi_value js_capacity(napi_env env, napi_callback_info info) {
  napi_value args[1];
  shared_memory* memory = get_chan(env, info, 1, args);
  return memory == NULL ? NULL : make_int(env, memory->sizes[CAPACITY]);
}

/* chanLargest(id): bytes of the largest message that the ring can hold. */
static napi_value js_largest(napi_env env, napi_callback_info info) {
  napi_value args[1];
  shared_memory* memory = get_chan(env, info, 1, args);
  return memory == NULL ? NULL : make_int(env, memory->sizes[SIZE] - MESSAGE_HEADER);
}

/* chanClose(id): 0, or 2 when it was closed before. The senders' lock: nobody sends after the end. */
static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  shared_memory* memory = get_chan(env, info, 1, args);
  if (memory == NULL) return NULL;
  chan* ch = (chan*)memory->base;
  if (!shared_lock(&ch->tail.lock)) return overwritten(env), NULL;
  bool was = load(&ch->header.closed) != 0;
  store(&ch->header.closed, 1);
  shared_unlock(&ch->tail.lock);
  if (!was) {
    wake_all(&ch->receivers);
    wake_all(&ch->senders);
  }
  return make_int(env, was ? CLOSED : 0);
}

static void pass_on_message(chan* ch) {
  if (!is_empty(ch)) wake_one(&ch->receivers);
}

static void pass_on_room(chan* ch, const shared_memory* memory) {
  if (!is_full(ch, memory)) wake_one(&ch->senders);
}

/* chanDisarm(id, side): nobody in this thread waits to receive (0) or to send (1) any more. What it may
 * have been woken for goes to another one. */
static napi_value js_disarm(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t side;
  shared_memory* memory = get_chan(env, info, 2, args);
  if (memory == NULL || !get_int(env, args[1], "side", &side)) return NULL;
  chan* ch = (chan*)memory->base;
  int slot = get_instance(env)->shared->slot;
  if (slot < 0) return NULL;
  waiting_remove(side == RECEIVERS ? &ch->receivers : &ch->senders, slot);
  if (side == RECEIVERS) pass_on_message(ch);
  else pass_on_room(ch, memory);
  return NULL;
}

void chan_forget(shared_memory* memory, int slot) {
  chan* ch = (chan*)memory->base;
  waiting_remove(&ch->receivers, slot);
  waiting_remove(&ch->senders, slot);
}

void chan_pass_on(shared_memory* memory) {
  chan* ch = (chan*)memory->base;
  pass_on_message(ch);
  pass_on_room(ch, memory);
}

/* chanFormat(memory, capacity): lays out a channel; its ring is what the memory has room for. */
static napi_value js_format(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t capacity;
  uint8_t* base;
  size_t length;
  if (!get_args(env, info, 2, args) ||
      !shared_format(env, args[0], sizeof(chan) + 64, &base, &length) ||
      !get_int(env, args[1], "capacity", &capacity))
    return NULL;
  uint32_t size = 64;
  while (size < LARGEST_RING && sizeof(chan) + 2 * (size_t)size <= length) size *= 2;
  if (capacity < 1) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "capacity must be at least 1");
    return NULL;
  }
  shared_seal(base, KIND_CHAN, size, (uint32_t)capacity, 0);
  return NULL;
}

napi_status shared_chan_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("chanFormat", js_format),     FUNCTION("chanSend", js_send),
      FUNCTION("chanReceive", js_receive),   FUNCTION("chanReceiveInto", js_receive_into),
      FUNCTION("chanReady", js_ready),       FUNCTION("chanArm", js_arm),
      FUNCTION("chanLength", js_length),
      FUNCTION("chanCapacity", js_capacity), FUNCTION("chanLargest", js_largest),
      FUNCTION("chanClose", js_close),       FUNCTION("chanDisarm", js_disarm),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
