/*
 * The limit for UDP: one socket, one thread, as many datagrams per system call as are there.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../generators/common.h"

#define AT_ONCE 64
#define SIZE_AT_MOST 65536
#define STRIDE (SIZE_AT_MOST + 192)

static uint8_t bytes[AT_ONCE][STRIDE];
static struct sockaddr_storage senders[AT_ONCE];
static struct iovec parts[AT_ONCE];
static struct mmsghdr messages[AT_ONCE];

static int listen_on(const char *host, long port) {
  char text[80];
  snprintf(text, sizeof text, "%s:%ld", host, port);
  struct sockaddr_in address = parse_address(text);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int room = 4 << 20;
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail_errno("bind");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  return fd;
}

static void send_all(int fd, int count) {
  for (int sent = 0; sent < count;) {
    int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
    if (n >= 0) {
      sent += n;
      continue;
    }
    if (errno != EAGAIN) fail_errno("sendmmsg");
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    poll(&room, 1, -1);
  }
}

static void serve(int fd) {
  struct pollfd readable = {.fd = fd, .events = POLLIN};
  for (;;) {
    for (int i = 0; i < AT_ONCE; i++) {
      parts[i] = (struct iovec){bytes[i], SIZE_AT_MOST};
      messages[i].msg_hdr = (struct msghdr){.msg_name = &senders[i],
                                            .msg_namelen = sizeof senders[i],
                                            .msg_iov = &parts[i],
                                            .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, messages, AT_ONCE, 0, NULL);
    if (n < 0 && errno != EAGAIN) fail_errno("recvmmsg");
    for (int i = 0; i < n; i++) parts[i].iov_len = messages[i].msg_len;
    if (n > 0) send_all(fd, n);
    else poll(&readable, 1, -1);
  }
}

int main(int argc, char **argv) {
  static const char *const names[] = {"host", "port", NULL};
  check_options(argc, argv, names);
  int fd = listen_on(option_text(argc, argv, "host", "127.0.0.1"),
                     option_number(argc, argv, "port", 0, 0, 65535));
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) fail_errno("getsockname");
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);
  serve(fd);
}
