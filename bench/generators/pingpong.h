/*
 * The closed loop behind the echo and the fairness generators: every connection
 * has one message under way, waits until all of it has come back, compares the
 * bytes and sends the next.
 */
#ifndef BENCH_PINGPONG_H
#define BENCH_PINGPONG_H

#include "common.h"
#include "histogram.h"

struct pingpong_options {
  struct sockaddr_in address;
  int connections;
  size_t size;
  double warmup;
  double seconds;
  pid_t server; /* whose CPU time is read; 0 for nobody */
  /* Called at both ends of the measured time; may be NULL. */
  void (*mark)(void *context);
  void *context;
};

struct pingpong_result {
  double seconds;
  struct cpu_use cpu;
  uint64_t messages;
  uint64_t errors;            /* connections lost and replies with wrong bytes */
  uint64_t least;             /* messages of the connection that was served least */
  uint64_t most;              /* and of the one that was served most */
  uint64_t oldest_unanswered; /* age in ns of the oldest message still under way at the end */
  struct histogram latency;
};

/* Connects, warms up, measures and closes. */
void pingpong_run(const struct pingpong_options *options, struct pingpong_result *result);

/* Writes the fields of the result, without the surrounding braces. */
void pingpong_print(const struct pingpong_options *options, const struct pingpong_result *result,
                    FILE *out);

#endif
