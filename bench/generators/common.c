/*
 * What the load generators and the C server share; see common.h.
 */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Noreturn void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

_Noreturn void fail_errno(const char *what) { fail("%s: %s", what, strerror(errno)); }

void check_options(int argc, char **argv, const char *const names[]) {
  for (int i = 1; i < argc; i += 2) {
    bool known = false;
    for (int n = 0; names[n] != NULL; n++) {
      if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, names[n]) == 0) known = true;
    }
    if (!known) fail("unknown option %s", argv[i]);
    if (i + 1 >= argc) fail("option %s needs a value", argv[i]);
  }
}

const char *option_text(int argc, char **argv, const char *name, const char *fallback) {
  const char *value = fallback;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i] + 2, name) == 0) value = argv[i + 1];
  }
  return value;
}

long option_number(int argc, char **argv, const char *name, long fallback, long least, long most) {
  const char *text = option_text(argc, argv, name, NULL);
  if (text == NULL) return fallback;
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
    fail("--%s takes a number from %ld to %ld, not %s", name, least, most, text);
  }
  return value;
}

double option_seconds(int argc, char **argv, const char *name, double fallback) {
  const char *text = option_text(argc, argv, name, NULL);
  if (text == NULL) return fallback;
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= 0 && value <= 3600)) {
    fail("--%s takes seconds from 0 to 3600, not %s", name, text);
  }
  return value;
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

int milliseconds_until(uint64_t when) {
  uint64_t now = now_ns();
  return when <= now ? 0 : (int)((when - now + 999999) / 1000000);
}

static double own_cpu(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void read_text(const char *path, char *text, size_t size) {
  FILE *file = fopen(path, "r");
  if (file == NULL) fail_errno(path);
  size_t length = fread(text, 1, size - 1, file);
  fclose(file);
  text[length] = '\0';
}

static double process_cpu(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  read_text(path, text, sizeof text);
  /* The second field is the command in parentheses and may hold anything. */
  const char *rest = strrchr(text, ')');
  unsigned long user, kernel;
  if (rest == NULL ||
      sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) {
    fail("%s: not understood", path);
  }
  return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* Processes and the time that the hypervisor gave to others; interrupts are left
 * out, as they are in a process's own time. */
static double machine_cpu(void) {
  char text[256];
  read_text("/proc/stat", text, sizeof text);
  unsigned long user, nice, kernel, stolen;
  if (sscanf(text, "cpu %lu %lu %lu %*u %*u %*u %*u %lu", &user, &nice, &kernel, &stolen) != 4) {
    fail("/proc/stat: not understood");
  }
  return (double)(user + nice + kernel + stolen) / (double)sysconf(_SC_CLK_TCK);
}

struct cpu_use read_cpu(pid_t server) {
  return (struct cpu_use){
      .server = server > 0 ? process_cpu(server) : 0,
      .generator = own_cpu(),
      .others = machine_cpu(),
  };
}

struct cpu_use cpu_since(const struct cpu_use *before, pid_t server) {
  struct cpu_use use = read_cpu(server);
  use.server -= before->server;
  use.generator -= before->generator;
  use.others -= before->others + use.server + use.generator;
  if (use.others < 0) use.others = 0;
  return use;
}

void print_cpu(const struct cpu_use *use, FILE *out) {
  fprintf(out, "\"generatorCpu\":%.6f,\"serverCpu\":%.6f,\"othersCpu\":%.6f", use->generator,
          use->server, use->others);
}

void raise_fd_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

struct sockaddr_in parse_address(const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  char host[64];
  const char *colon = strrchr(text, ':');
  if (colon == NULL || (size_t)(colon - text) >= sizeof host) fail("not host:port: %s", text);
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = '\0';
  char *end;
  unsigned long port = strtoul(colon + 1, &end, 10);
  if (end == colon + 1 || *end != '\0' || port > 65535) fail("not a port: %s", colon + 1);
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("not an IPv4 address: %s", host);
  address.sin_port = htons((uint16_t)port);
  return address;
}

uint32_t first_source(void) {
  return 0x7f010000u + ((uint32_t)getpid() & 0xffffu) * SOURCES_AT_MOST;
}

static int bind_source(int fd, uint32_t source) {
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
  int on = 1;
  /* The port is chosen in connect, where the whole 4-tuple is known. */
  if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) return -errno;
  return bind(fd, (struct sockaddr *)&from, sizeof from) == 0 ? 0 : -errno;
}

int start_connect(const struct sockaddr_in *to, uint32_t source) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int error = source == 0 ? 0 : bind_source(fd, source);
  if (error == 0 && connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS) {
    error = -errno;
  }
  if (error == 0) return fd;
  close(fd);
  return error;
}

int connect_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

uint8_t *make_pattern(size_t size) {
  size_t length = size + PATTERN_PERIOD;
  uint8_t *pattern = malloc(length);
  if (pattern == NULL) fail("no memory for a message of %zu bytes", size);
  uint32_t state = 0x9e3779b9u;
  for (size_t i = 0; i < length; i++) {
    if (i >= PATTERN_PERIOD) {
      pattern[i] = pattern[i - PATTERN_PERIOD];
      continue;
    }
    state = state * 1664525u + 1013904223u;
    pattern[i] = (uint8_t)(state >> 24);
  }
  return pattern;
}
