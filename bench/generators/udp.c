/*
 * UDP load: N flows, each a socket of its own that keeps WINDOW messages of SIZE bytes under way.
 *
 *   udp --addr 127.0.0.1:7000 --flows 50 --window 8 --size 64 --seconds 2 --warmup 0.5 --server-pid 0
 *
 * Every message names its place in the window and carries a number; the rest of it is a piece of the
 * pattern. A reply is compared with what was sent and makes room for the next message. What is not
 * answered within PATIENCE is counted as lost and replaced; should the reply come after all, its
 * number is an old one and it is dropped. Messages leave and replies are taken in batches, so that the
 * generator's core is not the limit.
 *
 * Prints one line of JSON. Times are microseconds, CPU times seconds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "histogram.h"

#define EVENTS 512
#define WINDOW_AT_MOST 64
#define SIZE_AT_MOST 65507
#define PATIENCE (100 * 1000000ull)

struct header {
  uint32_t place;
  uint32_t number;
};

struct message {
  uint32_t number;
  uint64_t sent;
};

struct flow {
  int fd;
  uint32_t last; /* the newest message's number */
  struct message window[WINDOW_AT_MOST];
};

struct load {
  struct sockaddr_in address;
  int flows;
  int window;
  size_t size;
  struct flow *flow;
  uint8_t *pattern;
  int epoll;
  uint64_t errors;
  uint64_t lost;
  struct histogram latency;
  /* One batch of messages and one of replies. */
  struct mmsghdr out[WINDOW_AT_MOST], in[WINDOW_AT_MOST];
  struct iovec parts[WINDOW_AT_MOST][2], into[WINDOW_AT_MOST];
  struct header headers[WINDOW_AT_MOST];
  uint8_t *replies;
};

static const uint8_t *piece(const struct load *load, uint32_t number) {
  return load->pattern + number * 131u % PATTERN_PERIOD;
}

/* Sends one new message for each of the places. */
static void send_new(struct load *load, struct flow *flow, const uint32_t *places, int count) {
  uint64_t now = now_ns();
  for (int i = 0; i < count; i++) {
    struct message *message = &flow->window[places[i]];
    message->number = ++flow->last;
    message->sent = now;
    load->headers[i] = (struct header){.place = places[i], .number = message->number};
    load->parts[i][1].iov_base = (void *)(uintptr_t)piece(load, message->number);
  }
  /* What does not fit now counts as lost later on. */
  if (sendmmsg(flow->fd, load->out, (unsigned)count, 0) < 0 && errno != EAGAIN) load->errors++;
}

/* Whether a reply is the one to a message under way; if so, its place in the window. */
static int place_of(struct load *load, const struct flow *flow, const uint8_t *reply, size_t length) {
  struct header header;
  if (length != load->size) {
    load->errors++;
    return -1;
  }
  memcpy(&header, reply, sizeof header);
  if (header.place >= (uint32_t)load->window ||
      memcmp(reply + sizeof header, piece(load, header.number), length - sizeof header) != 0) {
    load->errors++;
    return -1;
  }
  return flow->window[header.place].number == header.number ? (int)header.place : -1;
}

static void receive(struct load *load, struct flow *flow) {
  uint32_t places[WINDOW_AT_MOST];
  int answered = 0;
  int n = recvmmsg(flow->fd, load->in, (unsigned)load->window, 0, NULL);
  if (n < 0) {
    if (errno != EAGAIN) load->errors++;
    return;
  }
  uint64_t now = now_ns();
  for (int i = 0; i < n; i++) {
    int place = place_of(load, flow, load->into[i].iov_base, load->in[i].msg_len);
    if (place < 0) continue;
    histogram_add(&load->latency, now - flow->window[place].sent);
    /* A second copy of the same reply is an old one. */
    flow->window[place].number = 0;
    places[answered++] = (uint32_t)place;
  }
  if (answered > 0) send_new(load, flow, places, answered);
}

/* Replaces what has been under way for too long; in the beginning that is everything. */
static void replace_lost(struct load *load, uint64_t patience) {
  uint64_t now = now_ns();
  for (int f = 0; f < load->flows; f++) {
    struct flow *flow = &load->flow[f];
    uint32_t places[WINDOW_AT_MOST];
    int count = 0;
    for (int i = 0; i < load->window; i++)
      if (now - flow->window[i].sent >= patience) places[count++] = (uint32_t)i;
    if (count == 0) continue;
    load->lost += (uint64_t)count;
    send_new(load, flow, places, count);
  }
}

static void run_until(struct load *load, uint64_t end) {
  struct epoll_event events[EVENTS];
  uint64_t look = now_ns() + PATIENCE;
  int left;
  while (load->errors == 0 && (left = milliseconds_until(end)) > 0) {
    int n = epoll_wait(load->epoll, events, EVENTS, left < 20 ? left : 20);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) receive(load, events[i].data.ptr);
    if (now_ns() < look) continue;
    replace_lost(load, PATIENCE);
    look = now_ns() + PATIENCE / 4;
  }
}

static void open_flow(struct load *load, struct flow *flow) {
  flow->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const struct sockaddr *to = (const struct sockaddr *)&load->address;
  if (flow->fd < 0 || connect(flow->fd, to, sizeof load->address) != 0) fail_errno("connect");
  int room = 4 << 20;
  setsockopt(flow->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  setsockopt(flow->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = flow};
  if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, flow->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void prepare(struct load *load) {
  load->pattern = make_pattern(load->size);
  load->flow = calloc((size_t)load->flows, sizeof *load->flow);
  load->replies = malloc((size_t)load->window * load->size);
  if (load->flow == NULL || load->replies == NULL) fail("no memory for %d flows", load->flows);
  for (int i = 0; i < load->window; i++) {
    load->parts[i][0] = (struct iovec){&load->headers[i], sizeof load->headers[i]};
    load->parts[i][1].iov_len = load->size - sizeof(struct header);
    load->out[i].msg_hdr = (struct msghdr){.msg_iov = load->parts[i], .msg_iovlen = 2};
    load->into[i] = (struct iovec){load->replies + (size_t)i * load->size, load->size};
    load->in[i].msg_hdr = (struct msghdr){.msg_iov = &load->into[i], .msg_iovlen = 1};
  }
  load->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (load->epoll < 0) fail_errno("epoll_create1");
  for (int f = 0; f < load->flows; f++) open_flow(load, &load->flow[f]);
}

static struct load load;

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",    "flows",  "window",     "size",
                                      "seconds", "warmup", "server-pid", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  load.address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000"));
  load.flows = (int)option_number(argc, argv, "flows", 50, 1, 100000);
  load.window = (int)option_number(argc, argv, "window", 8, 1, WINDOW_AT_MOST);
  load.size = (size_t)option_number(argc, argv, "size", 64, sizeof(struct header) + 1, SIZE_AT_MOST);
  double seconds = option_seconds(argc, argv, "seconds", 2);
  double warmup = option_seconds(argc, argv, "warmup", 0.5);
  pid_t server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30);

  prepare(&load);
  replace_lost(&load, 0);
  run_until(&load, now_ns() + (uint64_t)(warmup * 1e9));
  histogram_clear(&load.latency);
  load.lost = 0;
  uint64_t began = now_ns();
  struct cpu_use before = read_cpu(server);
  run_until(&load, began + (uint64_t)(seconds * 1e9));
  struct cpu_use use = cpu_since(&before, server);
  double took = (double)(now_ns() - began) / 1e9;

  double rate = (double)load.latency.count / took;
  printf("{\"generator\":\"udp\",\"flows\":%d,\"window\":%d,\"size\":%zu,\"seconds\":%.6f,", load.flows,
         load.window, load.size, took);
  printf("\"messages\":%llu,\"messagesPerSecond\":%.3f,\"lost\":%llu,\"errors\":%llu,",
         (unsigned long long)load.latency.count, rate, (unsigned long long)load.lost,
         (unsigned long long)load.errors);
  print_cpu(&use, stdout);
  printf(",\"latency\":");
  histogram_print(&load.latency, stdout);
  printf("}\n");
  return 0;
}
