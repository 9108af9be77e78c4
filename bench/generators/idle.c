/*
 * Idle connections: opens them up to one step after another and holds them.
 *
 *   idle --addr 127.0.0.1:7000 --steps 2000,10000,18000 --echo 1 --sources 16
 *
 * With --echo 1 a connection counts as open when it has had one echo of 64 bytes,
 * which proves that the server has taken it and waits for more. At each step it
 * prints {"open":N} and waits for a line on stdin, during which the reader can
 * measure the server; when stdin ends, it ends. The connections leave from several
 * loopback addresses, and are reset at the end, so that no wait states stay behind.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define REQUEST_SIZE 64
#define EVENTS 256
#define OPENING_AT_ONCE 64
#define STEP_PATIENCE (60 * NANOSECONDS)
#define STEPS_AT_MOST 64

enum stage { CONNECTING, ECHOING, OPEN };

struct connection {
  int fd;
  enum stage stage;
  size_t received;
};

struct idle {
  struct sockaddr_in address;
  bool echo;
  uint32_t first_source;
  uint32_t sources;
  int epoll;
  int begun;
  int open;
  uint8_t *pattern;
  struct connection *connections;
};

static void begin(struct idle *idle) {
  struct connection *connection = &idle->connections[idle->begun];
  uint32_t source = idle->first_source + (uint32_t)idle->begun % idle->sources;
  connection->fd = start_connect(&idle->address, source);
  if (connection->fd < 0) fail("connect: %s", strerror(-connection->fd));
  idle->begun++;
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
  if (epoll_ctl(idle->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void on_connected(struct idle *idle, struct connection *connection) {
  int error = connect_error(connection->fd);
  if (error != 0) fail("connect: %s", strerror(error));
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  if (epoll_ctl(idle->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
  connection->stage = idle->echo ? ECHOING : OPEN;
  if (!idle->echo) {
    idle->open++;
  } else if (send(connection->fd, idle->pattern, REQUEST_SIZE, MSG_NOSIGNAL) != REQUEST_SIZE) {
    fail_errno("send");
  }
}

static void on_readable(struct idle *idle, struct connection *connection) {
  uint8_t reply[REQUEST_SIZE + 1];
  ssize_t n = recv(connection->fd, reply, sizeof reply, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) fail("connection %d was closed by the server", (int)(connection - idle->connections));
  const uint8_t *expected = idle->pattern + connection->received;
  connection->received += (size_t)n;
  if (connection->received > REQUEST_SIZE || memcmp(reply, expected, (size_t)n) != 0) {
    fail("an echo brought back other bytes than were sent");
  }
  if (connection->received < REQUEST_SIZE) return;
  connection->stage = OPEN;
  idle->open++;
}

/* Bounded, so that no server's listen backlog overflows. */
static void open_up_to(struct idle *idle, int wanted) {
  struct epoll_event events[EVENTS];
  uint64_t end = now_ns() + STEP_PATIENCE;
  while (idle->open < wanted) {
    while (idle->begun < wanted && idle->begun - idle->open < OPENING_AT_ONCE) begin(idle);
    int left = milliseconds_until(end);
    if (left == 0) fail("only %d of %d connections were open in time", idle->open, wanted);
    int n = epoll_wait(idle->epoll, events, EVENTS, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection->stage == CONNECTING) on_connected(idle, connection);
      else on_readable(idle, connection);
    }
  }
}

static int parse_steps(const char *text, int steps[STEPS_AT_MOST]) {
  int count = 0, before = 0;
  while (*text != '\0') {
    char *end;
    long step = strtol(text, &end, 10);
    if (end == text || (*end != ',' && *end != '\0') || step <= before || step > 1000000) {
      fail("--steps takes growing numbers with commas between them");
    }
    if (count == STEPS_AT_MOST) fail("more than %d steps", STEPS_AT_MOST);
    steps[count++] = before = (int)step;
    text = *end == ',' ? end + 1 : end;
  }
  if (count == 0) fail("--steps is empty");
  return count;
}

static void reset_all(struct idle *idle) {
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < idle->begun; i++) {
    int fd = idle->connections[i].fd;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
  }
}

static bool wait_for_line(void) {
  int c;
  while ((c = getchar()) != '\n') {
    if (c == EOF) return false;
  }
  return true;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"addr", "steps", "echo", "sources", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  int steps[STEPS_AT_MOST];
  int count = parse_steps(option_text(argc, argv, "steps", "2000,10000,18000"), steps);
  struct idle idle = {
      .address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000")),
      .echo = option_number(argc, argv, "echo", 1, 0, 1) == 1,
      .first_source = first_source(),
      .sources = (uint32_t)option_number(argc, argv, "sources", 16, 1, SOURCES_AT_MOST),
  };
  idle.pattern = make_pattern(REQUEST_SIZE);
  idle.connections = calloc((size_t)steps[count - 1], sizeof *idle.connections);
  idle.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (idle.connections == NULL || idle.epoll < 0) fail_errno("epoll_create1");
  for (int i = 0; i < count; i++) {
    open_up_to(&idle, steps[i]);
    printf("{\"open\":%d}\n", idle.open);
    fflush(stdout);
    if (!wait_for_line()) break;
  }
  reset_all(&idle);
  free(idle.pattern);
  free(idle.connections);
  return 0;
}
