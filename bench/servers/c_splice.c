/*
 * The limit for proxies: joins each two connections that it accepts and splices
 * between them, both ways, on an edge-triggered epoll loop. One pipe for each
 * direction, one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../generators/common.h"

#define EVENTS 512
#define BACKLOG 4096
#define PIPE_SIZE (512 << 10)
/* Rounds of one direction before the others are looked at. */
#define ROUNDS 4

struct direction {
  int from, to;
  int pipe[2];
  size_t held;
};

/* Two connections that are joined; an event on either may move bytes both ways. */
struct pair {
  struct direction ways[2];
};

static int epoll;
static int waiting = -1;

static int listen_on(const char *host, long port) {
  char text[80];
  snprintf(text, sizeof text, "%s:%ld", host, port);
  struct sockaddr_in address = parse_address(text);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0) {
    fail_errno("listen");
  }
  return fd;
}

static void open_way(struct direction *way, int from, int to) {
  *way = (struct direction){.from = from, .to = to};
  if (pipe2(way->pipe, O_NONBLOCK | O_CLOEXEC) != 0) fail_errno("pipe2");
  fcntl(way->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
}

static void join(int one, int other) {
  struct pair *pair = calloc(1, sizeof *pair);
  if (pair == NULL) fail("no memory for a pair");
  open_way(&pair->ways[0], one, other);
  open_way(&pair->ways[1], other, one);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = pair};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, one, &event) != 0 ||
      epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event) != 0)
    fail_errno("epoll_ctl");
}

static void accept_all(int listener) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (waiting < 0) waiting = fd;
    else {
      join(waiting, fd);
      waiting = -1;
    }
  }
}

/* One round: -1 when the pair is over, 0 when it has to wait, 1 when it may go on. */
static int pass(struct direction *way) {
  unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  if (way->held == 0) {
    ssize_t n = splice(way->from, NULL, way->pipe[1], NULL, PIPE_SIZE, flags);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    if (n == 0) return -1;
    way->held = (size_t)n;
  }
  while (way->held > 0) {
    ssize_t n = splice(way->pipe[0], NULL, way->to, NULL, way->held, flags);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    way->held -= (size_t)n;
  }
  return 1;
}

static void end(struct pair *pair) {
  close(pair->ways[0].from);
  close(pair->ways[0].to);
  for (int i = 0; i < 2; i++) {
    close(pair->ways[i].pipe[0]);
    close(pair->ways[i].pipe[1]);
  }
  free(pair);
}

/* The rounds that are left over are asked for again by arming the pair anew. */
static void serve_pair(struct pair *pair) {
  bool more = false;
  for (int i = 0; i < 2; i++) {
    int state = 1;
    for (int round = 0; state == 1 && round < ROUNDS; round++) state = pass(&pair->ways[i]);
    if (state < 0) {
      end(pair);
      return;
    }
    more = more || state == 1;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = pair};
  if (more) epoll_ctl(epoll, EPOLL_CTL_MOD, pair->ways[0].from, &event);
  if (more) epoll_ctl(epoll, EPOLL_CTL_MOD, pair->ways[0].to, &event);
}

static void serve(int listener) {
  struct epoll_event events[EVENTS];
  for (;;) {
    int n = epoll_wait(epoll, events, EVENTS, -1);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct pair *pair = events[i].data.ptr;
      /* Both of its connections may be in this batch; it may be gone after the first. */
      for (int later = i + 1; later < n; later++)
        if (events[later].data.ptr == pair && pair != NULL) pair = NULL, later = n;
      if (pair != NULL) serve_pair(pair);
      else if (events[i].data.ptr == NULL) accept_all(listener);
    }
  }
}

int main(int argc, char **argv) {
  static const char *const names[] = {"host", "port", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  int listener = listen_on(option_text(argc, argv, "host", "127.0.0.1"),
                           option_number(argc, argv, "port", 0, 0, 65535));
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) fail_errno("getsockname");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail_errno("epoll_ctl");
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);
  serve(listener);
}
