/* args.c - argument checks and results, the same for every function of the addon. */
#include "coronet.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

instance* get_instance(napi_env env) {
  void* data = NULL;
  napi_get_instance_data(env, &data);
  return data;
}

bool get_args(napi_env env, napi_callback_info info, size_t count, napi_value* args) {
  size_t argc = count;
  if (napi_get_cb_info(env, info, &argc, args, NULL, NULL) != napi_ok) return false;
  if (argc < count) {
    napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments");
    return false;
  }
  return true;
}

/* A whole number of 32 bits. Not napi_get_value_int32, which would make fd 3 of 2^32 + 3. */
bool get_int(napi_env env, napi_value value, const char* name, int32_t* out) {
  double number = 0;
  char message[80];
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a number", name);
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return false;
  }
  if (number >= INT32_MIN && number <= INT32_MAX && number == (int32_t)number) {
    *out = (int32_t)number;
    return true;
  }
  snprintf(message, sizeof message, "%s must be a whole number of 32 bits", name);
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return false;
}

/* A Uint8Array (a Buffer is one). A detached one counts as empty. */
bool get_bytes(napi_env env, napi_value value, const char* name, uint8_t** data, size_t* length) {
  /* An array type that is newer than Node-API leaves this as it is. */
  napi_typedarray_type type = napi_float64_array;
  void* bytes = NULL;
  napi_status status = napi_get_typedarray_info(env, value, &type, length, &bytes, NULL, NULL);
  if (status != napi_ok || (type != napi_uint8_array && type != napi_uint8_clamped_array)) {
    char message[80];
    snprintf(message, sizeof message, "%s must be a Uint8Array", name);
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return false;
  }
  if (bytes == NULL) *length = 0;
  *data = bytes;
  return true;
}

/* Three arguments (Uint8Array, offset, length) that name a part of a buffer. */
bool get_span(napi_env env, napi_value* three, uint8_t** data, size_t* length) {
  size_t size = 0;
  int32_t offset = 0;
  int32_t count = 0;
  if (!get_bytes(env, three[0], "buffer", data, &size)) return false;
  if (!get_int(env, three[1], "offset", &offset)) return false;
  if (!get_int(env, three[2], "length", &count)) return false;
  if (offset < 0 || count < 0 || (size_t)offset > size || (size_t)count > size - (size_t)offset) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "offset and length must lie within the buffer");
    return false;
  }
  *data = size == 0 ? *data : *data + offset;
  *length = (size_t)count;
  return true;
}

bool stays(napi_env env, napi_value array, const char* message) {
  napi_value buffer;
  bool detachable = true;
  if (napi_get_typedarray_info(env, array, NULL, NULL, NULL, &buffer, NULL) == napi_ok &&
      napi_is_arraybuffer(env, buffer, &detachable) == napi_ok && !detachable)
    return true;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

napi_value make_int(napi_env env, int64_t value) {
  napi_value out = NULL;
  napi_create_int32(env, (int32_t)value, &out);
  return out;
}

napi_value result_of(napi_env env, int64_t result) {
  return make_int(env, result == -1 ? -errno : result);
}

/* What an open socket holds in the kernel: tcp_sock and its inode, file, dentry and epoll item. */
#define KERNEL_BYTES_PER_FD 4096
/* fds between two reports to V8. */
#define REPORT_EVERY 64

void account_fds(instance* self, int change) {
  self->unreported += change;
  if (self->unreported > -REPORT_EVERY && self->unreported < REPORT_EVERY) return;
  int64_t total;
  napi_adjust_external_memory(self->env, (int64_t)self->unreported * KERNEL_BYTES_PER_FD, &total);
  self->unreported = 0;
}

napi_value own_fd(napi_env env, int fd) {
  if (fd == -1) return make_int(env, -errno);
  instance* self = get_instance(env);
  if (self == NULL || !fd_table_mark(&self->fds, fd)) {
    close(fd);
    return make_int(env, -ENOMEM);
  }
  account_fds(self, 1);
  return make_int(env, fd);
}

napi_status define_functions(napi_env env, napi_value exports,
                             const napi_property_descriptor* list, size_t count) {
  return napi_define_properties(env, exports, count, list);
}
