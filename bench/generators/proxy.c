/*
 * Bytes through a proxy: pairs of connections to a proxy that joins each two it
 * accepts. What is sent on the first of a pair has to come out of the second, and
 * with --both 1 the other way as well, as fast as the proxy passes it on.
 *
 *   proxy --addr 127.0.0.1:7000 --pairs 1 --both 0 --seconds 2 --warmup 0.5
 *         --server-pid 0 --piece 65536
 *
 * One thread on epoll. Most of what arrives is thrown away inside the kernel
 * (MSG_TRUNC, tcp(7)), so that this program is not the limit; every sixteenth
 * receive is compared byte by byte. Prints one line of JSON.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define PAIRS_AT_MOST 1000
#define PIECE_AT_MOST (1 << 20)
#define EVENTS 64
#define CHECK_EVERY 16

struct end {
  int fd;
  bool sends;
  uint64_t sent;
  uint64_t received;
  struct end *peer;
};

static uint64_t errors, bytes, receives;
static uint8_t *pattern, *buffer;
static size_t piece;

static bool send_piece(struct end *end) {
  const uint8_t *from = pattern + end->sent % PATTERN_PERIOD;
  ssize_t n = send(end->fd, from, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0) end->sent += (uint64_t)n;
  return n > 0 || errno == EAGAIN;
}

static bool receive_piece(struct end *end) {
  bool check = ++receives % CHECK_EVERY == 0;
  ssize_t n = recv(end->fd, buffer, piece, MSG_DONTWAIT | (check ? 0 : MSG_TRUNC));
  if (n < 0) return errno == EAGAIN;
  if (n == 0 || end->received + (uint64_t)n > end->peer->sent) return false;
  const uint8_t *expected = pattern + end->received % PATTERN_PERIOD;
  if (check && memcmp(buffer, expected, (size_t)n) != 0) return false;
  end->received += (uint64_t)n;
  bytes += (uint64_t)n;
  return true;
}

/* Connections are made one after the other: the proxy joins them in this order. */
static void connect_end(struct end *end, const struct sockaddr_in *address, int epoll) {
  end->fd = start_connect(address, 0);
  if (end->fd < 0) fail("connect: %s", strerror(-end->fd));
  struct pollfd connecting = {.fd = end->fd, .events = POLLOUT};
  if (poll(&connecting, 1, 10000) != 1) fail("a connection was not accepted in time");
  int error = connect_error(end->fd);
  if (error != 0) fail("connect: %s", strerror(error));
  struct epoll_event event = {.events = EPOLLIN | (end->sends ? EPOLLOUT : 0u), .data.ptr = end};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, end->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void run_until(int epoll, uint64_t when) {
  struct epoll_event events[EVENTS];
  while (errors == 0 && now_ns() < when) {
    int n = epoll_wait(epoll, events, EVENTS, milliseconds_until(when));
    for (int i = 0; i < n; i++) {
      struct end *end = events[i].data.ptr;
      bool well = true;
      if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) well = receive_piece(end);
      if (well && (events[i].events & EPOLLOUT)) well = send_piece(end);
      if (!well) errors++;
    }
  }
}

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",   "pairs",      "both",  "seconds",
                                      "warmup", "server-pid", "piece", NULL};
  check_options(argc, argv, names);
  struct sockaddr_in address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000"));
  size_t pairs = (size_t)option_number(argc, argv, "pairs", 1, 1, PAIRS_AT_MOST);
  bool both = option_number(argc, argv, "both", 0, 0, 1) == 1;
  double seconds = option_seconds(argc, argv, "seconds", 2);
  double warmup = option_seconds(argc, argv, "warmup", 0.5);
  pid_t server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30);
  piece = (size_t)option_number(argc, argv, "piece", 65536, 1, PIECE_AT_MOST);
  raise_fd_limit();
  pattern = make_pattern(piece);
  buffer = malloc(piece);
  struct end *ends = calloc(pairs * 2, sizeof *ends);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (buffer == NULL || ends == NULL || epoll < 0) fail("no memory");
  for (size_t i = 0; i < pairs * 2; i++) {
    ends[i].sends = both || i % 2 == 0;
    ends[i].peer = &ends[i ^ 1];
    connect_end(&ends[i], &address, epoll);
  }
  run_until(epoll, now_ns() + (uint64_t)(warmup * NANOSECONDS));
  struct cpu_use before = read_cpu(server);
  uint64_t began = now_ns();
  bytes = 0;
  run_until(epoll, began + (uint64_t)(seconds * NANOSECONDS));
  double took = (double)(now_ns() - began) / NANOSECONDS;
  struct cpu_use use = cpu_since(&before, server);
  printf("{\"generator\":\"proxy\",\"pairs\":%zu,\"seconds\":%.6f,\"errors\":%llu,\"bytes\":%llu,",
         pairs, took, (unsigned long long)errors, (unsigned long long)bytes);
  print_cpu(&use, stdout);
  printf("}\n");
  return 0;
}
