/*
 * The closed loop behind the echo and the fairness generators; see pingpong.h.
 * One thread, level-triggered epoll. Replies are compared as they arrive, in one
 * receive buffer for all connections.
 */
#include "pingpong.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 512
#define RECEIVE_SIZE 65536
#define CONNECTING_AT_ONCE 128
#define CONNECT_PATIENCE (15 * NANOSECONDS)

struct connection {
  int fd;
  bool connected;
  bool waits_for_room; /* a send was cut short: EPOLLOUT is asked for */
  uint32_t window;     /* where the message under way begins in the pattern */
  size_t sent;
  size_t received;
  uint64_t began;
  uint64_t messages;
};

struct loop {
  const struct pingpong_options *options;
  struct pingpong_result *result;
  struct connection *connections;
  int epoll;
  int alive;
  uint8_t *pattern;
  uint8_t receive_buffer[RECEIVE_SIZE];
};

static void lose(struct loop *loop, struct connection *connection) {
  close(connection->fd);
  connection->fd = -1;
  loop->alive--;
  loop->result->errors++;
}

static void want(struct loop *loop, struct connection *connection, bool room) {
  if (connection->waits_for_room == room) return;
  connection->waits_for_room = room;
  struct epoll_event event = {.events = EPOLLIN | (room ? EPOLLOUT : 0), .data.ptr = connection};
  if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void send_rest(struct loop *loop, struct connection *connection) {
  const uint8_t *from = loop->pattern + connection->window + connection->sent;
  ssize_t n = send(connection->fd, from, loop->options->size - connection->sent, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) {
    lose(loop, connection);
    return;
  }
  if (n > 0) connection->sent += (size_t)n;
  want(loop, connection, connection->sent < loop->options->size);
}

static void send_next(struct loop *loop, struct connection *connection, uint64_t now) {
  connection->window = (connection->window + 131) % PATTERN_PERIOD;
  connection->sent = 0;
  connection->received = 0;
  connection->began = now;
  send_rest(loop, connection);
}

static void finish_message(struct loop *loop, struct connection *connection) {
  uint64_t now = now_ns();
  histogram_add(&loop->result->latency, now - connection->began);
  connection->messages++;
  send_next(loop, connection, now);
}

static void receive(struct loop *loop, struct connection *connection) {
  ssize_t n = recv(connection->fd, loop->receive_buffer, RECEIVE_SIZE, 0);
  if (n < 0 && errno == EAGAIN) return;
  size_t due = connection->sent - connection->received;
  const uint8_t *expected = loop->pattern + connection->window + connection->received;
  if (n <= 0 || (size_t)n > due || memcmp(loop->receive_buffer, expected, (size_t)n) != 0) {
    lose(loop, connection);
    return;
  }
  connection->received += (size_t)n;
  if (connection->received == loop->options->size) finish_message(loop, connection);
}

static void run_until(struct loop *loop, uint64_t end) {
  struct epoll_event events[EVENTS];
  int left;
  while (loop->alive > 0 && (left = milliseconds_until(end)) > 0) {
    int n = epoll_wait(loop->epoll, events, EVENTS, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *connection = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) send_rest(loop, connection);
      if (connection->fd >= 0 && (events[i].events & ~EPOLLOUT)) receive(loop, connection);
    }
  }
}

static void begin_connect(struct loop *loop, struct connection *connection) {
  connection->fd = start_connect(&loop->options->address, 0);
  if (connection->fd < 0) fail("connect: %s", strerror(-connection->fd));
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
  if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void end_connect(struct loop *loop, struct connection *connection) {
  int error = connect_error(connection->fd);
  if (error != 0) fail("connect: %s", strerror(error));
  if (connection->connected) fail("the server closed a connection before the first message");
  connection->connected = true;
  connection->waits_for_room = true;
  want(loop, connection, false);
  loop->alive++;
}

/* Bounded, so that no server's listen backlog overflows. */
static void connect_all(struct loop *loop) {
  struct epoll_event events[EVENTS];
  uint64_t end = now_ns() + CONNECT_PATIENCE;
  int begun = 0;
  while (loop->alive < loop->options->connections) {
    while (begun < loop->options->connections && begun - loop->alive < CONNECTING_AT_ONCE) {
      loop->connections[begun].window = (uint32_t)(begun * 67 % PATTERN_PERIOD);
      begin_connect(loop, &loop->connections[begun++]);
    }
    int left = milliseconds_until(end);
    if (left == 0) fail("only %d connections were accepted in time", loop->alive);
    int n = epoll_wait(loop->epoll, events, EVENTS, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) end_connect(loop, events[i].data.ptr);
  }
}

static void measure(struct loop *loop) {
  const struct pingpong_options *options = loop->options;
  struct pingpong_result *result = loop->result;
  for (int i = 0; i < options->connections; i++) loop->connections[i].messages = 0;
  histogram_clear(&result->latency);
  if (options->mark != NULL) options->mark(options->context);
  uint64_t began = now_ns();
  struct cpu_use before = read_cpu(options->server);
  run_until(loop, began + (uint64_t)(options->seconds * 1e9));
  result->cpu = cpu_since(&before, options->server);
  result->seconds = (double)(now_ns() - began) / 1e9;
  result->messages = result->latency.count;
  if (options->mark != NULL) options->mark(options->context);
}

static void close_all(struct loop *loop) {
  struct pingpong_result *result = loop->result;
  uint64_t now = now_ns();
  result->least = UINT64_MAX;
  for (int i = 0; i < loop->options->connections; i++) {
    struct connection *connection = &loop->connections[i];
    if (connection->messages < result->least) result->least = connection->messages;
    if (connection->messages > result->most) result->most = connection->messages;
    if (connection->fd < 0) continue;
    uint64_t age = now - connection->began;
    if (age > result->oldest_unanswered) result->oldest_unanswered = age;
    close(connection->fd);
  }
}

void pingpong_run(const struct pingpong_options *options, struct pingpong_result *result) {
  struct loop *loop = calloc(1, sizeof *loop);
  struct connection *connections = calloc((size_t)options->connections, sizeof *connections);
  if (loop == NULL || connections == NULL) fail("no memory for %d connections", options->connections);
  loop->options = options;
  loop->result = result;
  loop->connections = connections;
  loop->pattern = make_pattern(options->size);
  loop->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (loop->epoll < 0) fail_errno("epoll_create1");
  connect_all(loop);
  uint64_t now = now_ns();
  for (int i = 0; i < options->connections; i++) send_next(loop, &connections[i], now);
  run_until(loop, now_ns() + (uint64_t)(options->warmup * 1e9));
  measure(loop);
  close_all(loop);
  close(loop->epoll);
  free(loop->pattern);
  free(connections);
  free(loop);
}

void pingpong_print(const struct pingpong_options *options, const struct pingpong_result *result,
                    FILE *out) {
  double rate = (double)result->messages / result->seconds;
  fprintf(out, "\"conns\":%d,\"size\":%zu,\"seconds\":%.6f,", options->connections, options->size,
          result->seconds);
  fprintf(out, "\"messages\":%llu,\"messagesPerSecond\":%.3f,\"bytesPerSecond\":%.1f,",
          (unsigned long long)result->messages, rate, rate * (double)options->size);
  fprintf(out, "\"errors\":%llu,\"least\":%llu,\"most\":%llu,\"oldestUnanswered\":%.3f,",
          (unsigned long long)result->errors, (unsigned long long)result->least,
          (unsigned long long)result->most, (double)result->oldest_unanswered / 1e3);
  print_cpu(&result->cpu, out);
  fprintf(out, ",\"latency\":");
  histogram_print(&result->latency, out);
}
