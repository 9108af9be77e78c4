/* tls_api.c - looks OpenSSL's functions up in the runtime that has loaded the addon. */
#define _GNU_SOURCE
#include "tls_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

tls_functions tls;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int found = TLS_NO_SYMBOLS;

/* POSIX lets a data pointer hold a function's address (dlsym(3)); C has no cast for it. */
static int look_up(const char* name, void* slot) {
  void* address = dlsym(RTLD_DEFAULT, name);
  memcpy(slot, &address, sizeof address);
  return address != NULL;
}

static void load(void) {
  int missing = 0;
#define FN(result, name, arguments) missing += !look_up(#name, &tls.name);
  TLS_FUNCTIONS(FN)
#undef FN
  if (missing > 0) return;
  found = tls.OpenSSL_version_num() >> 28 == 3 ? TLS_AVAILABLE : TLS_OTHER_VERSION;
}

int tls_load(void) {
  pthread_once(&once, load);
  return found;
}
