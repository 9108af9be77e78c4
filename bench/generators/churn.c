/*
 * Connection churn: connect, send 64 bytes, receive them, close; K at a time.
 *
 *   churn --addr 127.0.0.1:7000 --at-once 64 --sources 64 --seconds 2 --warmup 0.5 --server-pid 0
 *
 * The client closes first, so the wait states gather on this side and the server
 * sees EOF and closes. They would use up the ephemeral ports of one address
 * within a second; the connections therefore leave from several loopback
 * addresses in turn, as many as --sources says.
 *
 * The request is sent as soon as connect returns when the kernel takes it (on
 * loopback it does); otherwise when the connection is there. The latency runs
 * from before socket() to the last byte of the reply. Prints one line of JSON.
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
#include "histogram.h"

#define REQUEST_SIZE 64
#define SLOTS_AT_MOST 4096
#define ERRORS_AT_MOST 1000

struct slot {
  int fd;
  bool sent;
  uint32_t window;
  size_t received;
  uint64_t began;
};

struct churn {
  struct sockaddr_in address;
  int at_once;
  uint32_t first_source;
  uint32_t sources;
  double seconds;
  pid_t server;
  int epoll;
  uint64_t begun;
  uint64_t errors;
  uint8_t *pattern;
  struct slot *slots;
};

static struct histogram latency;

static void note_error(struct churn *churn, int error) {
  if (++churn->errors >= ERRORS_AT_MOST) fail("too many errors, the last: %s", strerror(error));
}

/* Returns 0, or an errno when the connection is of no use. */
static int send_request(struct churn *churn, struct slot *slot) {
  ssize_t n = send(slot->fd, churn->pattern + slot->window, REQUEST_SIZE, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == ENOTCONN ? 0 : errno;
  slot->sent = true;
  return n == REQUEST_SIZE ? 0 : EMSGSIZE;
}

static int try_begin(struct churn *churn, struct slot *slot) {
  uint32_t source = churn->first_source + (uint32_t)(churn->begun % churn->sources);
  slot->window = (uint32_t)(churn->begun * 131 % PATTERN_PERIOD);
  slot->sent = false;
  slot->received = 0;
  slot->began = now_ns();
  churn->begun++;
  slot->fd = start_connect(&churn->address, source);
  if (slot->fd < 0) return -slot->fd;
  int error = send_request(churn, slot);
  struct epoll_event event = {.events = EPOLLIN | (slot->sent ? 0 : EPOLLOUT), .data.ptr = slot};
  if (error == 0 && epoll_ctl(churn->epoll, EPOLL_CTL_ADD, slot->fd, &event) != 0) error = errno;
  if (error != 0) close(slot->fd);
  return error;
}

static void begin(struct churn *churn, struct slot *slot) {
  int error;
  while ((error = try_begin(churn, slot)) != 0) note_error(churn, error);
}

static void begin_again(struct churn *churn, struct slot *slot, int error) {
  if (error != 0) note_error(churn, error);
  close(slot->fd);
  begin(churn, slot);
}

static void on_room(struct churn *churn, struct slot *slot) {
  int error = send_request(churn, slot);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
  if (error == 0 && slot->sent && epoll_ctl(churn->epoll, EPOLL_CTL_MOD, slot->fd, &event) != 0) {
    error = errno;
  }
  if (error != 0) begin_again(churn, slot, error);
}

static void on_reply(struct churn *churn, struct slot *slot) {
  uint8_t reply[REQUEST_SIZE + 1];
  ssize_t n = recv(slot->fd, reply, sizeof reply, 0);
  if (n < 0 && errno == EAGAIN) return;
  size_t due = REQUEST_SIZE - slot->received;
  const uint8_t *expected = churn->pattern + slot->window + slot->received;
  if (n <= 0 || (size_t)n > due || memcmp(reply, expected, (size_t)n) != 0) {
    begin_again(churn, slot, n < 0 ? errno : ECONNRESET);
    return;
  }
  slot->received += (size_t)n;
  if (slot->received < REQUEST_SIZE) return;
  histogram_add(&latency, now_ns() - slot->began);
  begin_again(churn, slot, 0);
}

static void run_until(struct churn *churn, uint64_t end) {
  struct epoll_event events[SLOTS_AT_MOST];
  int left;
  while ((left = milliseconds_until(end)) > 0) {
    int n = epoll_wait(churn->epoll, events, SLOTS_AT_MOST, left);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct slot *slot = events[i].data.ptr;
      if (slot->sent) on_reply(churn, slot);
      else on_room(churn, slot);
    }
  }
}

static void measure(struct churn *churn) {
  histogram_clear(&latency);
  churn->errors = 0;
  uint64_t began = now_ns();
  struct cpu_use before = read_cpu(churn->server);
  run_until(churn, began + (uint64_t)(churn->seconds * 1e9));
  struct cpu_use cpu = cpu_since(&before, churn->server);
  double seconds = (double)(now_ns() - began) / 1e9;
  printf("{\"generator\":\"churn\",\"atOnce\":%d,\"sources\":%u,\"seconds\":%.6f,", churn->at_once,
         churn->sources, seconds);
  printf("\"connections\":%llu,\"connectionsPerSecond\":%.3f,\"errors\":%llu,",
         (unsigned long long)latency.count, (double)latency.count / seconds,
         (unsigned long long)churn->errors);
  print_cpu(&cpu, stdout);
  printf(",\"latency\":");
  histogram_print(&latency, stdout);
  printf("}\n");
}

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",   "at-once",    "sources", "seconds",
                                      "warmup", "server-pid", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  struct churn churn = {
      .address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000")),
      .at_once = (int)option_number(argc, argv, "at-once", 64, 1, SLOTS_AT_MOST),
      .first_source = first_source(),
      .sources = (uint32_t)option_number(argc, argv, "sources", 64, 1, SOURCES_AT_MOST),
      .seconds = option_seconds(argc, argv, "seconds", 2),
      .server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30),
  };
  double warmup = option_seconds(argc, argv, "warmup", 0.5);
  churn.pattern = make_pattern(REQUEST_SIZE);
  churn.slots = calloc((size_t)churn.at_once, sizeof *churn.slots);
  churn.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (churn.slots == NULL || churn.epoll < 0) fail_errno("epoll_create1");
  for (int i = 0; i < churn.at_once; i++) begin(&churn, &churn.slots[i]);
  run_until(&churn, now_ns() + (uint64_t)(warmup * 1e9));
  measure(&churn);
  free(churn.pattern);
  free(churn.slots);
  return 0;
}
