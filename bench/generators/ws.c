/*
 * WebSocket load: N sockets, each with one message under way, which comes back as it was sent.
 *
 *   ws --addr 127.0.0.1:7000 --conns 64 --size 64 --seconds 2 --warmup 0.5 --server-pid 0
 *
 * Messages are text in one frame, masked as a client's are. What comes back has to be one frame of text of
 * the same length; its bytes are compared with what was sent. Prints one line of JSON.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "histogram.h"

#define EVENTS 512
#define HEAD_SIZE 1024
#define LARGEST 65535
#define CONNECTING_AT_ONCE 128
#define CONNECT_PATIENCE (15 * NANOSECONDS)

static const char upgrade[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/* What the key above has to be answered with (RFC 6455, 1.3). */
static const char accepted[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

struct connection {
  int fd;
  bool connected;
  bool open; /* the handshake is done */
  size_t received;
  uint64_t began;
  char head[HEAD_SIZE + 1];
};

static struct connection *connections;
static int count;
static int alive;
static int epoll;
static uint8_t message[LARGEST + 8]; /* as it is sent */
static size_t message_size;
static uint8_t echo[LARGEST + 4]; /* as it comes back */
static size_t echo_size;
static uint8_t buffer[LARGEST + 4];
static struct histogram latency;
static uint64_t errors;

static size_t put_head(uint8_t *frame, size_t size, uint8_t masked) {
  frame[0] = 0x81;
  if (size < 126) {
    frame[1] = (uint8_t)(size | masked);
    return 2;
  }
  frame[1] = 126 | masked;
  frame[2] = (uint8_t)(size >> 8);
  frame[3] = (uint8_t)size;
  return 4;
}

static void make_message(size_t size) {
  size_t at = put_head(message, size, 0x80);
  size_t back = put_head(echo, size, 0);
  memcpy(message + at, mask, sizeof mask);
  at += sizeof mask;
  for (size_t i = 0; i < size; i++) {
    uint8_t letter = (uint8_t)('a' + i % 26);
    echo[back + i] = letter;
    message[at + i] = letter ^ mask[i % 4];
  }
  message_size = at + size;
  echo_size = back + size;
}

static void lose(struct connection *connection) {
  close(connection->fd);
  connection->fd = -1;
  alive--;
  errors++;
}

/* A message is smaller than a socket's buffer, which is empty here. */
static void send_next(struct connection *connection, uint64_t now) {
  connection->received = 0;
  connection->began = now;
  ssize_t n = send(connection->fd, message, message_size, MSG_NOSIGNAL);
  if (n != (ssize_t)message_size) lose(connection);
}

static void receive(struct connection *connection) {
  ssize_t n = recv(connection->fd, buffer, echo_size - connection->received, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0 || memcmp(buffer, echo + connection->received, (size_t)n) != 0) {
    lose(connection);
    return;
  }
  connection->received += (size_t)n;
  if (connection->received != echo_size) return;
  uint64_t now = now_ns();
  histogram_add(&latency, now - connection->began);
  send_next(connection, now);
}

static void run_until(uint64_t end) {
  struct epoll_event events[EVENTS];
  int left;
  while (alive > 0 && (left = milliseconds_until(end)) > 0) {
    int n = epoll_wait(epoll, events, EVENTS, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection->fd >= 0) receive(connection);
    }
  }
}

static void begin_connect(struct connection *connection, const struct sockaddr_in *address) {
  connection->fd = start_connect(address, 0);
  if (connection->fd < 0) fail("connect: %s", strerror(-connection->fd));
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void ask(struct connection *connection) {
  int error = connect_error(connection->fd);
  if (error != 0) fail("connect: %s", strerror(error));
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
  connection->connected = true;
  ssize_t n = send(connection->fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL);
  if (n != (ssize_t)sizeof upgrade - 1) fail("the request could not be sent");
}

/* Nothing follows the head before the first message is sent. */
static void shake_hands(struct connection *connection) {
  size_t room = HEAD_SIZE - connection->received;
  ssize_t n = recv(connection->fd, connection->head + connection->received, room, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) fail("the server refuses to upgrade");
  connection->received += (size_t)n;
  connection->head[connection->received] = 0;
  if (strstr(connection->head, "\r\n\r\n") == NULL) return;
  bool fine = strncmp(connection->head, "HTTP/1.1 101 ", 13) == 0;
  if (!fine || strstr(connection->head, accepted) == NULL) fail("no handshake: %s", connection->head);
  connection->open = true;
  alive++;
}

/* Bounded, so that no server's listen backlog overflows. */
static void connect_all(const struct sockaddr_in *address) {
  struct epoll_event events[EVENTS];
  uint64_t end = now_ns() + CONNECT_PATIENCE;
  int begun = 0;
  while (alive < count) {
    while (begun < count && begun - alive < CONNECTING_AT_ONCE) {
      begin_connect(&connections[begun++], address);
    }
    int left = milliseconds_until(end);
    if (left == 0) fail("only %d sockets were opened in time", alive);
    int n = epoll_wait(epoll, events, EVENTS, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection->connected) shake_hands(connection);
      else ask(connection);
    }
  }
}

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",   "conns",      "size", "seconds",
                                      "warmup", "server-pid", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  struct sockaddr_in address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000"));
  count = (int)option_number(argc, argv, "conns", 64, 1, 100000);
  double seconds = option_seconds(argc, argv, "seconds", 2);
  double warmup = option_seconds(argc, argv, "warmup", 0.5);
  pid_t server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30);
  make_message((size_t)option_number(argc, argv, "size", 64, 1, LARGEST));
  connections = calloc((size_t)count, sizeof *connections);
  if (connections == NULL) fail("no memory for %d connections", count);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail_errno("epoll_create1");
  connect_all(&address);
  uint64_t now = now_ns();
  for (int i = 0; i < count; i++) send_next(&connections[i], now);
  run_until(now_ns() + (uint64_t)(warmup * 1e9));
  histogram_clear(&latency);
  uint64_t began = now_ns();
  struct cpu_use before = read_cpu(server);
  run_until(began + (uint64_t)(seconds * 1e9));
  struct cpu_use cpu = cpu_since(&before, server);
  double elapsed = (double)(now_ns() - began) / 1e9;
  printf("{\"generator\":\"ws\",\"conns\":%d,\"seconds\":%.6f,\"errors\":%llu,", count, elapsed,
         (unsigned long long)errors);
  printf("\"messages\":%llu,\"messagesPerSecond\":%.3f,", (unsigned long long)latency.count,
         (double)latency.count / elapsed);
  print_cpu(&cpu, stdout);
  printf(",\"latency\":");
  histogram_print(&latency, stdout);
  printf("}\n");
  return 0;
}
