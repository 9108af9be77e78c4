/*
 * uv_abi.h - the few functions of libuv that the addon uses, by their stable ABI.
 *
 * Node exports libuv's symbols, but its headers are not on every machine and are not in an npm
 * package. Handles are opaque here: their size comes from uv_handle_size at run time. libuv keeps
 * these signatures and the numbers of its handle types for the whole of version 1.
 * Source: https://docs.libuv.org/en/v1.x/handle.html, poll.html, prepare.html
 */
#ifndef CORONET_UV_ABI_H
#define CORONET_UV_ABI_H

#include <stddef.h>

typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;

enum { UV_ABI_POLL = 8, UV_ABI_PREPARE = 9 };
enum { UV_ABI_READABLE = 1 };

typedef void (*uv_close_cb)(uv_handle_t* handle);
typedef void (*uv_poll_cb)(uv_handle_t* handle, int status, int events);
typedef void (*uv_prepare_cb)(uv_handle_t* handle);

size_t uv_handle_size(int type);
void* uv_handle_get_data(const uv_handle_t* handle);
void uv_handle_set_data(uv_handle_t* handle, void* data);
int uv_poll_init(uv_loop_t* loop, uv_handle_t* handle, int fd);
int uv_poll_start(uv_handle_t* handle, int events, uv_poll_cb callback);
int uv_poll_stop(uv_handle_t* handle);
int uv_prepare_init(uv_loop_t* loop, uv_handle_t* handle);
int uv_prepare_start(uv_handle_t* handle, uv_prepare_cb callback);
void uv_close(uv_handle_t* handle, uv_close_cb callback);
void uv_ref(uv_handle_t* handle);
void uv_unref(uv_handle_t* handle);

#endif
