/*
 * HTTP load: N connections, kept alive, each with `depth` requests under way: they are sent in one write,
 * and the next ones when all of their responses are there.
 *
 * A request is one that has a name here, or a GET of a path.
 *
 *   http --addr 127.0.0.1:7000 --conns 64 --request hello --depth 1 --seconds 2 --warmup 0.5 --server-pid 0
 *
 * Requests: hello (as wrk sends it), browser (12 headers), varied (as browser, another target each time),
 * json (a POST of 1 kB), large (1 MB comes back).
 * The first response has to have status 200 and a Content-Length, and so has each that begins a read; the
 * length of the whole is learnt from each connection's first one and has to stay the same. Prints one line of JSON.
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
#define RECEIVE_SIZE 262144
#define HEAD_SIZE 1024
#define CONNECTING_AT_ONCE 128
#define CONNECT_PATIENCE (15 * NANOSECONDS)

static const char status[] = "HTTP/1.1 200 ";

struct connection {
  int fd;
  bool connected;
  size_t length; /* of all responses to one write; 0 until the first head is complete */
  size_t received;
  uint64_t began;
  char head[HEAD_SIZE + 1];
};

static struct connection *connections;
static int count;
static int alive;
static int epoll;
static char request[65536];
static size_t request_size; /* of all that are under way at once */
static size_t depth;
static char *number; /* eight digits that differ from request to request, or NULL */
static char buffer[RECEIVE_SIZE];
static struct histogram latency;
static uint64_t errors;

static void make_request(const char *kind) {
  char body[1200];
  int n = -1;
  if (kind[0] == '/') {
    n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", kind);
  } else if (strcmp(kind, "hello") == 0) {
    n = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
  } else if (strcmp(kind, "large") == 0) {
    n = snprintf(request, sizeof request, "GET /large HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
  } else if (strcmp(kind, "browser") == 0 || strcmp(kind, "varied") == 0) {
    n = snprintf(request, sizeof request,
                 "GET /?page=00000002&sort=name HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n"
                 "Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
                 "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
                 "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
                 "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
                 "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
                 "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n");
  } else if (strcmp(kind, "json") == 0) {
    int size = snprintf(body, sizeof body, "{\"name\":\"bench\",\"values\":[");
    while (size < 1000) size += snprintf(body + size, sizeof body - (size_t)size, "%d,", size);
    size += snprintf(body + size, sizeof body - (size_t)size, "0]}");
    n = snprintf(request, sizeof request,
                 "POST /json HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n%s",
                 size, body);
  }
  if (n < 0 || (size_t)n >= sizeof request) fail("no request is called %s", kind);
  request_size = (size_t)n;
  if (request_size * depth > sizeof request) fail("%zu requests are too many at once", depth);
  for (size_t i = 1; i < depth; i++) memcpy(request + i * request_size, request, request_size);
  request_size *= depth;
  if (strcmp(kind, "varied") == 0 && depth == 1) number = strstr(request, "00000002");
}

static void vary(void) {
  for (int i = 7; i >= 0; i--) {
    if (++number[i] <= '9') return;
    number[i] = '0';
  }
}

static void lose(struct connection *connection) {
  close(connection->fd);
  connection->fd = -1;
  alive--;
  errors++;
}

/* A request is far smaller than a socket's buffer, which is empty here. */
static void send_next(struct connection *connection, uint64_t now) {
  connection->received = 0;
  connection->began = now;
  if (number != NULL) vary();
  ssize_t n = send(connection->fd, request, request_size, MSG_NOSIGNAL);
  if (n != (ssize_t)request_size) lose(connection);
}

/* Learns the length of the whole response once its head is there; false when it is none. */
static bool learn(struct connection *connection, size_t n) {
  size_t room = HEAD_SIZE - connection->received;
  memcpy(connection->head + connection->received, buffer, n < room ? n : room);
  connection->head[n < room ? connection->received + n : HEAD_SIZE] = 0;
  const char *end = strstr(connection->head, "\r\n\r\n");
  if (end == NULL) return n < room;
  const char *field = strcasestr(connection->head, "\r\ncontent-length:");
  if (field == NULL || field > end) return false;
  size_t head = (size_t)(end - connection->head) + 4;
  connection->length = depth * (head + strtoul(field + 17, NULL, 10));
  return true;
}

static void receive(struct connection *connection) {
  ssize_t n = recv(connection->fd, buffer, RECEIVE_SIZE, 0);
  if (n < 0 && errno == EAGAIN) return;
  bool fine = n > 0;
  if (fine && connection->received == 0 && n >= (ssize_t)sizeof status) {
    fine = memcmp(buffer, status, sizeof status - 1) == 0;
  }
  if (fine && connection->length == 0) fine = learn(connection, (size_t)n);
  if (fine) {
    connection->received += (size_t)n;
    fine = connection->length == 0 || connection->received <= connection->length;
  }
  if (!fine) {
    lose(connection);
    return;
  }
  if (connection->received != connection->length) return;
  uint64_t now = now_ns();
  for (size_t i = 0; i < depth; i++) histogram_add(&latency, now - connection->began);
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

static void end_connect(struct connection *connection) {
  int error = connect_error(connection->fd);
  if (error != 0) fail("connect: %s", strerror(error));
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0) fail_errno("epoll_ctl");
  connection->connected = true;
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
    if (left == 0) fail("only %d connections were accepted in time", alive);
    int n = epoll_wait(epoll, events, EVENTS, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) end_connect(events[i].data.ptr);
  }
}

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",   "conns",      "request",    "depth",
                                      "seconds", "warmup", "server-pid", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  struct sockaddr_in address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000"));
  count = (int)option_number(argc, argv, "conns", 64, 1, 100000);
  double seconds = option_seconds(argc, argv, "seconds", 2);
  double warmup = option_seconds(argc, argv, "warmup", 0.5);
  pid_t server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30);
  depth = (size_t)option_number(argc, argv, "depth", 1, 1, 1000);
  make_request(option_text(argc, argv, "request", "hello"));
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
  printf("{\"generator\":\"http\",\"conns\":%d,\"seconds\":%.6f,\"errors\":%llu,", count, elapsed,
         (unsigned long long)errors);
  printf("\"requests\":%llu,\"requestsPerSecond\":%.3f,", (unsigned long long)latency.count,
         (double)latency.count / elapsed);
  print_cpu(&cpu, stdout);
  printf(",\"latency\":");
  histogram_print(&latency, stdout);
  printf("}\n");
  return 0;
}
