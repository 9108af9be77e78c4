/*
 * What the load generators and the C server share: command-line options, the
 * clock, sockets, CPU readings and the bytes that are sent.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define NANOSECONDS 1000000000ull

/* The payload of a message is a window into one shared pattern, so that the
 * bytes differ between connections and messages and nothing has to be written
 * before a send. */
#define PATTERN_PERIOD 4093

/* Ends the program with a message on stderr. fail_errno adds what errno says. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_errno(const char *what);

/* Options are pairs "--name value". check_options refuses any name that is not
 * in the list, which ends with NULL. */
void check_options(int argc, char **argv, const char *const names[]);
const char *option_text(int argc, char **argv, const char *name, const char *fallback);
long option_number(int argc, char **argv, const char *name, long fallback, long least, long most);
double option_seconds(int argc, char **argv, const char *name, double fallback);

uint64_t now_ns(void);
/* Milliseconds until `when`, rounded up, for epoll_wait; 0 when it has passed. */
int milliseconds_until(uint64_t when);

/* CPU seconds: of a server process (all its threads), of this process, and of
 * everything else that ran on the machine. A server of 0 is nobody. */
struct cpu_use {
  double server;
  double generator;
  double others;
};

/* read_cpu notes where the counters stand, cpu_since what was used from there. */
struct cpu_use read_cpu(pid_t server);
struct cpu_use cpu_since(const struct cpu_use *before, pid_t server);

/* Writes "generatorCpu":..,"serverCpu":..,"othersCpu":.. without braces. */
void print_cpu(const struct cpu_use *use, FILE *out);

void raise_fd_limit(void);
struct sockaddr_in parse_address(const char *text);

/* The first of 64 loopback addresses that hardly any other process has used of
 * late, so that wait states left behind by an earlier run take no port away. */
uint32_t first_source(void);
#define SOURCES_AT_MOST 64

/* Starts a non-blocking connect with TCP_NODELAY, from `source` when it is not
 * 0 (host order). Returns the socket, or -errno. */
int start_connect(const struct sockaddr_in *to, uint32_t source);

/* The error of a socket whose connect has ended; 0 when it is connected. */
int connect_error(int fd);

/* A buffer of `size` pattern bytes plus one period. */
uint8_t *make_pattern(size_t size);

#endif
