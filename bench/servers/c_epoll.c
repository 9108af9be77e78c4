/*
 * The limit: an echo server on a level-triggered epoll loop, one thread, one
 * receive buffer for all connections. What a write leaves over is kept and the
 * connection is not read until it is gone.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../generators/common.h"

#define EVENTS 512
#define BACKLOG 4096
#define RECEIVE_SIZE 65536

struct connection {
  int fd;
  size_t rest_at;
  size_t rest_length;
  uint8_t *rest; /* what the last write left over, or NULL */
};

static int epoll;
static uint8_t buffer[RECEIVE_SIZE];

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

static void watch(int operation, struct connection *connection, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(epoll, operation, connection->fd, &event) != 0) fail_errno("epoll_ctl");
}

static void end(struct connection *connection) {
  close(connection->fd);
  free(connection->rest);
  free(connection);
}

static void accept_all(int listener) {
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) fail("no memory for a connection");
    connection->fd = fd;
    watch(EPOLL_CTL_ADD, connection, EPOLLIN);
  }
}

static void keep_rest(struct connection *connection, const uint8_t *from, size_t length) {
  connection->rest = malloc(length);
  if (connection->rest == NULL) fail("no memory for %zu bytes", length);
  memcpy(connection->rest, from, length);
  connection->rest_at = 0;
  connection->rest_length = length;
  watch(EPOLL_CTL_MOD, connection, EPOLLOUT);
}

static void echo(struct connection *connection) {
  ssize_t n = recv(connection->fd, buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    end(connection);
    return;
  }
  ssize_t written = send(connection->fd, buffer, (size_t)n, MSG_NOSIGNAL);
  if (written < 0 && errno == EAGAIN) written = 0;
  if (written < 0) end(connection);
  else if (written < n) keep_rest(connection, buffer + written, (size_t)(n - written));
}

static void write_rest(struct connection *connection) {
  ssize_t n = send(connection->fd, connection->rest + connection->rest_at,
                   connection->rest_length - connection->rest_at, MSG_NOSIGNAL);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) {
    end(connection);
    return;
  }
  connection->rest_at += (size_t)n;
  if (connection->rest_at < connection->rest_length) return;
  free(connection->rest);
  connection->rest = NULL;
  watch(EPOLL_CTL_MOD, connection, EPOLLIN);
}

static void serve(int listener) {
  struct epoll_event events[EVENTS];
  for (;;) {
    int n = epoll_wait(epoll, events, EVENTS, -1);
    if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection == NULL) accept_all(listener);
      else if (connection->rest != NULL) write_rest(connection);
      else echo(connection);
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
