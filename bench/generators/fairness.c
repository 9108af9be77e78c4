/*
 * Fairness: ping-pong connections beside connections that send as fast as they
 * can ("firehoses") through the same echo server.
 *
 *   fairness --addr 127.0.0.1:7000 --conns 1 --firehose 1 --size 64 --seconds 2 --warmup 0.5
 *            --server-pid 0 --piece 65536
 *
 * The firehose must not slow the ping-pong inside this process, only inside the
 * server. It runs in a thread of its own under SCHED_IDLE, which the scheduler
 * preempts as soon as the ping-pong thread can run, and it handles at most one
 * send and one receive of a piece per poll. What is left is one such system call
 * when the kernel does not preempt inside it; the C server's figures show that
 * share, as nothing in that server adds to it.
 *
 * The firehose polls both directions and always receives what has come back, so
 * a server that stops reading while its own writes are blocked cannot lock up.
 * Prints one line of JSON.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "pingpong.h"

#define PIECE_AT_MOST (1 << 20)
#define POLL_MILLISECONDS 100
#define FIREHOSES_AT_MOST 16

struct firehose {
  pthread_t thread;
  int fd;
  const uint8_t *pattern;
  size_t piece;
  uint64_t sent;
  atomic_ullong received;
  atomic_bool stop;
  atomic_bool failed;
  uint8_t *buffer;
};

struct firehoses {
  int count;
  uint64_t at_mark[2];
  int marks;
  struct firehose *items;
};

static struct pingpong_result result;

static bool send_piece(struct firehose *firehose) {
  const uint8_t *from = firehose->pattern + firehose->sent % PATTERN_PERIOD;
  ssize_t n = send(firehose->fd, from, firehose->piece, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0) firehose->sent += (uint64_t)n;
  return n > 0 || errno == EAGAIN;
}

static bool receive_piece(struct firehose *firehose) {
  ssize_t n = recv(firehose->fd, firehose->buffer, firehose->piece, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN;
  uint64_t before = atomic_load(&firehose->received);
  if (n == 0 || before + (uint64_t)n > firehose->sent) return false;
  const uint8_t *expected = firehose->pattern + before % PATTERN_PERIOD;
  if (memcmp(firehose->buffer, expected, (size_t)n) != 0) return false;
  atomic_store(&firehose->received, before + (uint64_t)n);
  return true;
}

static void *run_firehose(void *argument) {
  struct firehose *firehose = argument;
  struct sched_param none = {0};
  pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
  struct pollfd watched = {.fd = firehose->fd, .events = POLLIN | POLLOUT};
  bool well = true;
  while (well && !atomic_load(&firehose->stop)) {
    if (poll(&watched, 1, POLL_MILLISECONDS) <= 0) continue;
    if (watched.revents & (POLLIN | POLLERR | POLLHUP)) well = receive_piece(firehose);
    if (well && (watched.revents & POLLOUT)) well = send_piece(firehose);
  }
  if (!well) atomic_store(&firehose->failed, true);
  return NULL;
}

static void start_firehose(struct firehose *firehose, const struct sockaddr_in *address,
                           const uint8_t *pattern) {
  firehose->pattern = pattern;
  firehose->buffer = malloc(firehose->piece);
  if (firehose->buffer == NULL) fail("no memory for a piece of %zu bytes", firehose->piece);
  firehose->fd = start_connect(address, 0);
  if (firehose->fd < 0) fail("connect: %s", strerror(-firehose->fd));
  struct pollfd connecting = {.fd = firehose->fd, .events = POLLOUT};
  if (poll(&connecting, 1, 10000) != 1) fail("the firehose was not accepted in time");
  int error = connect_error(firehose->fd);
  if (error != 0) fail("connect: %s", strerror(error));
  if (pthread_create(&firehose->thread, NULL, run_firehose, firehose) != 0) fail("no thread");
}

static int stop_firehoses(struct firehoses *all) {
  int failed = 0;
  for (int i = 0; i < all->count; i++) {
    struct firehose *firehose = &all->items[i];
    atomic_store(&firehose->stop, true);
    pthread_join(firehose->thread, NULL);
    close(firehose->fd);
    free(firehose->buffer);
    if (atomic_load(&firehose->failed)) failed++;
  }
  return failed;
}

/* Called by the ping-pong at both ends of the measured time. */
static void note_received(void *context) {
  struct firehoses *all = context;
  uint64_t sum = 0;
  for (int i = 0; i < all->count; i++) sum += atomic_load(&all->items[i].received);
  all->at_mark[all->marks++] = sum;
}

static void print_result(const struct firehoses *all, const struct pingpong_options *options) {
  double bytes = (double)(all->at_mark[1] - all->at_mark[0]);
  printf("{\"generator\":\"fairness\",\"firehoses\":%d,\"firehoseBytesPerSecond\":%.1f,", all->count,
         bytes / result.seconds);
  pingpong_print(options, &result, stdout);
  printf("}\n");
}

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",   "conns",      "size",     "seconds",
                                      "warmup", "server-pid", "firehose", "piece", NULL};
  check_options(argc, argv, names);
  struct firehoses all = {
      .count = (int)option_number(argc, argv, "firehose", 1, 0, FIREHOSES_AT_MOST),
  };
  struct pingpong_options options = {
      .address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000")),
      .connections = (int)option_number(argc, argv, "conns", 1, 1, 10000),
      .size = (size_t)option_number(argc, argv, "size", 64, 1, 16 << 20),
      .seconds = option_seconds(argc, argv, "seconds", 2),
      .warmup = option_seconds(argc, argv, "warmup", 0.5),
      .server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30),
      .mark = note_received,
      .context = &all,
  };
  all.items = calloc((size_t)all.count + 1, sizeof *all.items);
  if (all.items == NULL) fail("no memory for %d firehoses", all.count);
  size_t piece = (size_t)option_number(argc, argv, "piece", 65536, 1, PIECE_AT_MOST);
  uint8_t *pattern = make_pattern(piece);
  for (int i = 0; i < all.count; i++) {
    all.items[i].piece = piece;
    start_firehose(&all.items[i], &options.address, pattern);
  }
  pingpong_run(&options, &result);
  result.errors += (uint64_t)stop_firehoses(&all);
  print_result(&all, &options);
  free(pattern);
  free(all.items);
  return 0;
}
