/* epoll.h - collecting events, shared by epollWait and the poll handle. */
#ifndef CORONET_EPOLL_H
#define CORONET_EPOLL_H

#include "coronet.h"

#define MAX_EVENTS 1024

/* Asks epfd for at most max events and writes three int32 per event; returns how many, or -errno. */
int epoll_collect(int epfd, int32_t* out, int max, int timeout_ms);

/* An Int32Array that receives events; on false a TypeError is pending. */
bool get_events(napi_env env, napi_value value, int32_t** out, size_t* capacity);

#endif
