/*
 * shared_table.c - rows of one size in shared memory, found by a key: a hash table with chains.
 *
 *   header | seed, free rows | buckets (lock, first row) | rows (next, hash, key, columns)
 *
 * A bucket's lock guards its chain and the rows in it; a key's bucket never changes. Rows that no
 * chain holds are in a list of their own, under a lock that is taken inside a bucket's. A row's place
 * is its index + 1; 0 ends a chain. What a row's bytes mean is JavaScript's business (src/shared/table.ts).
 */
#include "shared.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MOST_ROWS (1 << 24)
#define MOST_KEY_BYTES 1024
#define MOST_ROW_BYTES 65536

typedef struct {
  shared_header header;
  uint32_t padding1[9];
  shared_word lock, free_rows, fresh, count; /* fresh: rows that were ever used */
  shared_word seed;
  uint32_t padding2[11];
} table; /* 128 bytes */

typedef struct {
  shared_word lock, first;
} bucket;

typedef struct {
  shared_word next, hash, key_length;
  uint32_t padding;
} row;

_Static_assert(sizeof(table) == 128 && sizeof(row) == 16, "the parts follow each other");

enum { ROWS = 0, KEY_BYTES = 1, ROW_BYTES = 2 };
enum { OK = 0, MISSING = 1, NO_ROOM = 2, DAMAGED = 3 };
enum { INT32 = 0, FLOAT64 = 1 };

/* ---- geometry */

static size_t buckets_of(const uint32_t* sizes) {
  size_t n = 8;
  while (n < sizes[ROWS]) n *= 2;
  return n;
}

static size_t aligned(size_t n) {
  return (n + 7) & ~(size_t)7;
}

static size_t row_stride(const uint32_t* sizes) {
  return sizeof(row) + aligned(sizes[KEY_BYTES]) + aligned(sizes[ROW_BYTES]);
}

static bool sizes_allowed(const uint32_t* sizes) {
  return sizes[ROWS] >= 1 && sizes[ROWS] <= MOST_ROWS && sizes[KEY_BYTES] >= 1 &&
         sizes[KEY_BYTES] <= MOST_KEY_BYTES && sizes[ROW_BYTES] >= 1 &&
         sizes[ROW_BYTES] <= MOST_ROW_BYTES;
}

static size_t bytes_needed(const uint32_t* sizes) {
  return sizeof(table) + buckets_of(sizes) * sizeof(bucket) + sizes[ROWS] * row_stride(sizes);
}

bool table_sizes_fit(const uint32_t* sizes, size_t length) {
  return sizes_allowed(sizes) && length >= bytes_needed(sizes);
}

static bucket* bucket_at(const shared_memory* memory, size_t index) {
  return (bucket*)(memory->base + sizeof(table)) + index;
}

/* The row of a place, which was checked to be 1..rows. */
static row* row_at(const shared_memory* memory, uint32_t place) {
  uint8_t* rows = memory->base + sizeof(table) + buckets_of(memory->sizes) * sizeof(bucket);
  return (row*)(rows + (size_t)(place - 1) * row_stride(memory->sizes));
}

static uint8_t* key_of(row* r) {
  return (uint8_t*)(r + 1);
}

static uint8_t* content_of(const shared_memory* memory, row* r) {
  return key_of(r) + aligned(memory->sizes[KEY_BYTES]);
}

static uint32_t load(shared_word* word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(shared_word* word, uint32_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

/* ---- keys and chains */

typedef struct {
  uint32_t hash, length;
  char bytes[MOST_KEY_BYTES + 8];
} key;

/* FNV-1a with a seed of the table's, and the finish of MurmurHash3. */
static uint32_t hash_of(uint32_t seed, const char* bytes, uint32_t length) {
  uint32_t h = 2166136261u ^ seed;
  for (uint32_t i = 0; i < length; i++) h = (h ^ (uint8_t)bytes[i]) * 16777619u;
  h = (h ^ h >> 16) * 0x85ebca6bu;
  h = (h ^ h >> 13) * 0xc2b2ae35u;
  return h ^ h >> 16;
}

typedef struct {
  shared_memory* memory;
  bucket* bucket;
  shared_word* link; /* what points to the row */
  row* row;          /* NULL when the key is not there */
  uint32_t place;
} found;

/* With the bucket's lock held. A chain of more than all rows is none. */
static int find(shared_memory* memory, const key* k, found* f) {
  uint32_t rows = memory->sizes[ROWS];
  *f = (found){.memory = memory};
  f->bucket = bucket_at(memory, k->hash & (buckets_of(memory->sizes) - 1));
  f->link = &f->bucket->first;
  for (uint32_t steps = 0; steps <= rows; steps++) {
    f->place = load(f->link);
    if (f->place == 0) return MISSING;
    if (f->place > rows) return DAMAGED;
    row* r = row_at(memory, f->place);
    if (load(&r->hash) == k->hash && load(&r->key_length) == k->length &&
        memcmp(key_of(r), k->bytes, k->length) == 0) {
      f->row = r;
      return OK;
    }
    f->link = &r->next;
  }
  return DAMAGED;
}

/* A row that no chain holds. */
static int take_row(shared_memory* memory, uint32_t* place) {
  table* t = (table*)memory->base;
  uint32_t rows = memory->sizes[ROWS];
  if (!shared_lock(&t->lock)) return DAMAGED;
  int result = OK;
  uint32_t fresh = load(&t->fresh);
  *place = load(&t->free_rows);
  if (*place == 0 && fresh < rows) {
    *place = fresh + 1;
    store(&t->fresh, fresh + 1);
  } else if (*place == 0) {
    result = NO_ROOM;
  } else if (*place > rows) {
    result = DAMAGED;
  } else {
    store(&t->free_rows, load(&row_at(memory, *place)->next));
  }
  if (result == OK) store(&t->count, load(&t->count) + 1);
  shared_unlock(&t->lock);
  return result;
}

static bool give_row(shared_memory* memory, uint32_t place) {
  table* t = (table*)memory->base;
  if (!shared_lock(&t->lock)) return false;
  store(&row_at(memory, place)->next, load(&t->free_rows));
  store(&t->free_rows, place);
  store(&t->count, load(&t->count) - 1);
  shared_unlock(&t->lock);
  return true;
}

/* The row of a key; a new one, all zero, when it is not there. */
static int find_or_add(shared_memory* memory, const key* k, found* f) {
  int result = find(memory, k, f);
  if (result != MISSING) return result;
  result = take_row(memory, &f->place);
  if (result != OK) return result;
  f->row = row_at(memory, f->place);
  store(&f->row->hash, k->hash);
  store(&f->row->key_length, k->length);
  memcpy(key_of(f->row), k->bytes, k->length);
  memset(content_of(memory, f->row), 0, memory->sizes[ROW_BYTES]);
  store(&f->row->next, load(&f->bucket->first));
  store(&f->bucket->first, f->place);
  return OK;
}

/* ---- arguments */

static bool get_key(napi_env env, shared_memory* memory, napi_value value, key* k) {
  char message[64];
  size_t length = 0;
  napi_valuetype type = napi_undefined;
  uint32_t most = memory->sizes[KEY_BYTES];
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_string) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "key must be a string");
    return false;
  }
  /* A character has at most 4 bytes and is never cut: what is too long gives more than `most`. */
  napi_get_value_string_utf8(env, value, k->bytes, most + 5, &length);
  if (length <= most) {
    k->length = (uint32_t)length;
    k->hash = hash_of(load(&((table*)memory->base)->seed), k->bytes, k->length);
    return true;
  }
  snprintf(message, sizeof message, "the key is longer than %u bytes", most);
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return false;
}

static bucket* lock_bucket(napi_env env, shared_memory* memory, const key* k) {
  bucket* b = bucket_at(memory, k->hash & (buckets_of(memory->sizes) - 1));
  if (shared_lock(&b->lock)) return b;
  overwritten(env);
  return NULL;
}

static napi_value answer(napi_env env, int result) {
  if (result == DAMAGED) return overwritten(env), NULL;
  return make_int(env, result);
}

static shared_memory* get_table(napi_env env, napi_callback_info info, size_t count,
                                napi_value* args) {
  return get_args(env, info, count, args) ? get_memory(env, args[0], KIND_TABLE) : NULL;
}

static bool outside(napi_env env) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "offset and length must lie within the row");
  return false;
}

static bool get_part(napi_env env, shared_memory* memory, napi_value* two, uint32_t* offset,
                     uint32_t* length) {
  int32_t at, count;
  if (!get_int(env, two[0], "offset", &at) || !get_int(env, two[1], "length", &count)) return false;
  uint32_t size = memory->sizes[ROW_BYTES];
  if (at < 0 || count < 0 || (uint32_t)at > size || (uint32_t)count > size - (uint32_t)at)
    return outside(env);
  *offset = (uint32_t)at;
  *length = (uint32_t)count;
  return true;
}

/* ---- operations */

/* Pieces of a row: each is (offset, length, bytes rounded up to 4). */
static bool pieces_fit(const uint8_t* pieces, size_t total, uint32_t row_bytes) {
  while (total > 0) {
    uint32_t head[2];
    if (total < sizeof head) return false;
    memcpy(head, pieces, sizeof head);
    if (head[0] > row_bytes || head[1] > row_bytes - head[0]) return false;
    size_t size = sizeof head + ((head[1] + 3u) & ~3u);
    if (size > total) return false;
    pieces += size;
    total -= size;
  }
  return true;
}

static void write_pieces(uint8_t* content, const uint8_t* pieces, size_t total) {
  while (total > 0) {
    uint32_t head[2];
    memcpy(head, pieces, sizeof head);
    memcpy(content + head[0], pieces + sizeof head, head[1]);
    size_t size = sizeof head + ((head[1] + 3u) & ~3u);
    pieces += size;
    total -= size;
  }
}

/* tableWrite(id, key, pieces, offset, length): writes the pieces into the key's row, which is made
 * when it is not there: 0; 2 when there is no room for one more. */
static napi_value js_write(napi_env env, napi_callback_info info) {
  napi_value args[5];
  key k;
  found f;
  uint8_t* pieces;
  size_t total;
  shared_memory* memory = get_table(env, info, 5, args);
  if (memory == NULL || !get_key(env, memory, args[1], &k) ||
      !get_span(env, args + 2, &pieces, &total))
    return NULL;
  if (!pieces_fit(pieces, total, memory->sizes[ROW_BYTES])) return outside(env), NULL;
  bucket* b = lock_bucket(env, memory, &k);
  if (b == NULL) return NULL;
  int result = find_or_add(memory, &k, &f);
  if (result == OK) write_pieces(content_of(memory, f.row), pieces, total);
  shared_unlock(&b->lock);
  return answer(env, result);
}

/* tableRead(id, key, offset, length): that part of the key's row goes into the scratch buffer: 0; 1
 * when the key is not there. */
static napi_value js_read(napi_env env, napi_callback_info info) {
  napi_value args[4];
  key k;
  found f;
  uint32_t offset, length;
  instance* self = get_instance(env);
  shared_memory* memory = get_table(env, info, 4, args);
  if (memory == NULL || !get_key(env, memory, args[1], &k) ||
      !get_part(env, memory, args + 2, &offset, &length))
    return NULL;
  if (length > self->scratch_length) return outside(env), NULL;
  bucket* b = lock_bucket(env, memory, &k);
  if (b == NULL) return NULL;
  int result = find(memory, &k, &f);
  if (result == OK && length > 0)
    memcpy(self->scratch, content_of(memory, f.row) + offset, length);
  shared_unlock(&b->lock);
  return answer(env, result);
}

static double add_to(uint8_t* at, int32_t type, double by) {
  if (type == INT32) {
    int32_t value;
    memcpy(&value, at, sizeof value);
    value = (int32_t)((uint32_t)value + (uint32_t)(int32_t)by);
    memcpy(at, &value, sizeof value);
    return value;
  }
  double value;
  memcpy(&value, at, sizeof value);
  value += by;
  memcpy(at, &value, sizeof value);
  return value;
}

static bool get_amount(napi_env env, napi_value* two, int32_t* type, double* by) {
  if (!get_int(env, two[0], "type", type)) return false;
  if (napi_get_value_double(env, two[1], by) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "by must be a number");
    return false;
  }
  if (*type == FLOAT64) return true;
  if (*type == INT32 && *by >= INT32_MIN && *by <= INT32_MAX && *by == (int32_t)*by) return true;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "by must be a whole number of 32 bits");
  return false;
}

/* tableAdd(id, key, offset, type, by): adds to an int32 (type 0, modulo 2^32) or a float64 (type 1) of
 * the key's row, which is made when it is not there: the sum; undefined when there is no room. */
static napi_value js_add(napi_env env, napi_callback_info info) {
  napi_value args[5], sum = NULL;
  key k;
  found f;
  int32_t offset, type;
  double by, value = 0;
  shared_memory* memory = get_table(env, info, 5, args);
  if (memory == NULL || !get_key(env, memory, args[1], &k) ||
      !get_int(env, args[2], "offset", &offset) || !get_amount(env, args + 3, &type, &by))
    return NULL;
  uint32_t size = type == INT32 ? 4 : 8;
  if (offset < 0 || size > memory->sizes[ROW_BYTES] ||
      (uint32_t)offset > memory->sizes[ROW_BYTES] - size)
    return outside(env), NULL;
  bucket* b = lock_bucket(env, memory, &k);
  if (b == NULL) return NULL;
  int result = find_or_add(memory, &k, &f);
  if (result == OK) value = add_to(content_of(memory, f.row) + offset, type, by);
  shared_unlock(&b->lock);
  if (result == DAMAGED) return overwritten(env), NULL;
  if (result == OK) napi_create_double(env, value, &sum);
  return sum;
}

/* tableDelete(id, key): 0; 1 when the key is not there. */
static napi_value js_delete(napi_env env, napi_callback_info info) {
  napi_value args[2];
  key k;
  found f;
  shared_memory* memory = get_table(env, info, 2, args);
  if (memory == NULL || !get_key(env, memory, args[1], &k)) return NULL;
  bucket* b = lock_bucket(env, memory, &k);
  if (b == NULL) return NULL;
  int result = find(memory, &k, &f);
  if (result == OK) {
    store(f.link, load(&f.row->next));
    if (!give_row(memory, f.place)) result = DAMAGED;
  }
  shared_unlock(&b->lock);
  return answer(env, result);
}

/* Writes (length, bytes rounded up to 4) of every key of a bucket; the bytes needed, or -1. */
static int64_t write_keys(shared_memory* memory, bucket* b, uint8_t* out, size_t room) {
  uint32_t rows = memory->sizes[ROWS];
  uint32_t place = load(&b->first);
  int64_t at = 0;
  for (uint32_t steps = 0; place != 0; steps++) {
    if (place > rows || steps > rows) return -1;
    row* r = row_at(memory, place);
    uint32_t length = load(&r->key_length);
    if (length > memory->sizes[KEY_BYTES]) return -1;
    size_t size = sizeof length + ((length + 3u) & ~3u);
    if ((size_t)at + size <= room) {
      memcpy(out + at, &length, sizeof length);
      memcpy(out + at + sizeof length, key_of(r), length);
    }
    at += (int64_t)size;
    place = load(&r->next);
  }
  return at;
}

/* tableKeys(id, bucket, buffer, offset, length): the keys of a bucket, each its length and its bytes;
 * how many bytes that takes, which may be more than there was room for. */
static napi_value js_keys(napi_env env, napi_callback_info info) {
  napi_value args[5];
  int32_t index;
  uint8_t* out;
  size_t room;
  shared_memory* memory = get_table(env, info, 5, args);
  if (memory == NULL || !get_int(env, args[1], "bucket", &index) ||
      !get_span(env, args + 2, &out, &room))
    return NULL;
  if (index < 0 || (size_t)index >= buckets_of(memory->sizes)) return outside(env), NULL;
  bucket* b = bucket_at(memory, (size_t)index);
  if (load(&b->first) == 0) return make_int(env, 0);
  if (!shared_lock(&b->lock)) return overwritten(env), NULL;
  int64_t needed = write_keys(memory, b, out, room);
  shared_unlock(&b->lock);
  if (needed < 0 || needed > INT32_MAX) return overwritten(env), NULL;
  return make_int(env, needed);
}

static napi_value js_buckets(napi_env env, napi_callback_info info) {
  napi_value args[1];
  shared_memory* memory = get_table(env, info, 1, args);
  return memory == NULL ? NULL : make_int(env, (int64_t)buckets_of(memory->sizes));
}

static napi_value js_size(napi_env env, napi_callback_info info) {
  napi_value args[1];
  shared_memory* memory = get_table(env, info, 1, args);
  if (memory == NULL) return NULL;
  uint32_t count = load(&((table*)memory->base)->count);
  return make_int(env, count <= memory->sizes[ROWS] ? count : memory->sizes[ROWS]);
}

static bool get_sizes(napi_env env, napi_value* three, uint32_t* sizes) {
  static const char* names[] = {"rows", "keyBytes", "rowBytes"};
  for (int i = 0; i < 3; i++) {
    int32_t value;
    if (!get_int(env, three[i], names[i], &value)) return false;
    sizes[i] = value < 0 ? 0 : (uint32_t)value;
  }
  if (sizes_allowed(sizes)) return true;
  char message[120];
  snprintf(message, sizeof message,
           "a table has 1 to %d rows, keys of 1 to %d bytes and rows of 1 to %d bytes", MOST_ROWS,
           MOST_KEY_BYTES, MOST_ROW_BYTES);
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return false;
}

/* tableBytes(rows, keyBytes, rowBytes): the memory that such a table takes. */
static napi_value js_bytes(napi_env env, napi_callback_info info) {
  napi_value args[3], bytes = NULL;
  uint32_t sizes[3];
  if (!get_args(env, info, 3, args) || !get_sizes(env, args, sizes)) return NULL;
  napi_create_double(env, (double)bytes_needed(sizes), &bytes);
  return bytes;
}

/* tableFormat(memory, rows, keyBytes, rowBytes, seed): memory that is all zero becomes a table. */
static napi_value js_format(napi_env env, napi_callback_info info) {
  napi_value args[5];
  uint32_t sizes[3];
  int32_t seed;
  uint8_t* base;
  size_t length;
  if (!get_args(env, info, 5, args) ||
      !shared_format(env, args[0], sizeof(table), &base, &length) ||
      !get_sizes(env, args + 1, sizes) || !get_int(env, args[4], "seed", &seed))
    return NULL;
  if (length < bytes_needed(sizes)) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "the shared memory is too small");
    return NULL;
  }
  memset(base, 0, bytes_needed(sizes));
  store(&((table*)base)->seed, (uint32_t)seed);
  shared_seal(base, KIND_TABLE, sizes[ROWS], sizes[KEY_BYTES], sizes[ROW_BYTES]);
  return NULL;
}

napi_status shared_table_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("tableBytes", js_bytes),   FUNCTION("tableFormat", js_format),
      FUNCTION("tableWrite", js_write),   FUNCTION("tableRead", js_read),
      FUNCTION("tableAdd", js_add),       FUNCTION("tableDelete", js_delete),
      FUNCTION("tableKeys", js_keys),     FUNCTION("tableSize", js_size),
      FUNCTION("tableBuckets", js_buckets),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
