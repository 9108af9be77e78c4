/*
 * TLS load, by OpenSSL: echo, handshakes or idle connections.
 *
 *   tls --mode echo      --addr 127.0.0.1:7000 --conns 50 --size 64 --seconds 2 --warmup 0.5 --server-pid 0
 *   tls --mode handshake --addr 127.0.0.1:7000 --conns 16 --resume 1 --seconds 2 --warmup 0.5 --server-pid 0
 *   tls --mode idle      --addr 127.0.0.1:7000 --steps 500,2000
 *
 * TLS 1.3, X25519 and AES-128-GCM whatever the server would like better, so that all servers do the same
 * work. Certificates are not verified: that would be this side's work.
 *
 * echo: every connection has one message under way, and compares each byte that comes back.
 * handshake: connect, handshake, one message there and back, close_notify, close; --conns at a time.
 * The message goes with the client's Finished, and its echo proves that the server has finished too; the
 * session's ticket has come by then. With --resume 1 each connection resumes by the newest ticket. The latency runs from before socket() to the last byte of the echo. The client closes
 * first, so the connections leave from several loopback addresses in turn.
 * idle: opens connections up to one step after another, each with one echo, and holds them; at each
 * step it prints {"open":N} and waits for a line on stdin.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "histogram.h"

#define EVENTS 512
#define OPENING_AT_ONCE 64
#define PATIENCE (60 * NANOSECONDS)
#define ERRORS_AT_MOST 1000
#define REQUEST_SIZE 64
#define STEPS_AT_MOST 64

enum mode { ECHO, HANDSHAKE, IDLE };
enum stage { SHAKING, TALKING, OPEN };

struct slot {
  int fd;
  enum stage stage;
  SSL *ssl;
  SSL_SESSION *session; /* of the connection before, to be resumed */
  uint32_t wanted;      /* the epoll events that are asked for */
  uint32_t window;      /* where the message under way begins in the pattern */
  size_t sent;
  size_t received;
  uint64_t began;
};

struct load {
  enum mode mode;
  bool resume;
  struct sockaddr_in address;
  uint32_t first_source;
  int most; /* connections */
  size_t size;
  double seconds;
  pid_t server;
  int epoll;
  SSL_CTX *ctx;
  uint8_t *pattern;
  struct slot *slots;
  int begun;
  int open;
  uint64_t dialled;
  uint64_t resumed;
  uint64_t errors;
};

static struct load load;
static struct histogram latency;
static uint8_t reply[65536];

static void watch(struct slot *slot, uint32_t events, int operation) {
  if (operation == EPOLL_CTL_MOD && slot->wanted == events) return;
  slot->wanted = events;
  struct epoll_event event = {.events = events, .data.ptr = slot};
  if (epoll_ctl(load.epoll, operation, slot->fd, &event) != 0) fail_errno("epoll_ctl");
}

/* What OpenSSL waits for, as epoll events; 0 when it has failed. */
static uint32_t wait_for(const struct slot *slot, int result) {
  int error = SSL_get_error(slot->ssl, result);
  if (error == SSL_ERROR_WANT_READ) return EPOLLIN;
  return error == SSL_ERROR_WANT_WRITE ? EPOLLIN | EPOLLOUT : 0;
}

/* By a copy: not every server gives a new ticket for one that was used, and OpenSSL uses each once. */
static void resume(struct slot *slot) {
  SSL_SESSION *copy = SSL_SESSION_dup(slot->session);
  if (copy == NULL || SSL_set_session(slot->ssl, copy) != 1) fail("no memory for a session");
  SSL_SESSION_free(copy);
}

static void begin(struct slot *slot) {
  uint32_t source = load.mode == ECHO ? 0 : load.first_source + load.dialled % SOURCES_AT_MOST;
  slot->stage = SHAKING;
  slot->window = (uint32_t)(load.dialled++ * 131 % PATTERN_PERIOD);
  slot->sent = slot->received = 0;
  slot->began = now_ns();
  slot->fd = start_connect(&load.address, source);
  if (slot->fd < 0) fail("connect: %s", strerror(-slot->fd));
  slot->ssl = SSL_new(load.ctx);
  if (slot->ssl == NULL || SSL_set_fd(slot->ssl, slot->fd) != 1) fail("no memory for a connection");
  SSL_set_app_data(slot->ssl, slot);
  SSL_set_connect_state(slot->ssl);
  if (load.resume && slot->session != NULL) resume(slot);
  watch(slot, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

static void end(struct slot *slot) {
  SSL_free(slot->ssl);
  close(slot->fd);
  slot->ssl = NULL;
  slot->fd = -1;
}

static void lose(struct slot *slot, const char *what) {
  unsigned long code = ERR_peek_error();
  const char *reason = code == 0 ? strerror(errno) : ERR_reason_error_string(code);
  if (load.mode == IDLE) fail("%s: %s", what, reason);
  if (++load.errors >= ERRORS_AT_MOST) fail("too many errors, the last: %s: %s", what, reason);
  ERR_clear_error();
  end(slot);
  if (load.mode == HANDSHAKE) begin(slot);
}

/* Sends what is left of the message: false when the connection is lost. */
static bool send_rest(struct slot *slot) {
  while (slot->sent < load.size) {
    const uint8_t *from = load.pattern + slot->window + slot->sent;
    int n = SSL_write(slot->ssl, from, (int)(load.size - slot->sent));
    if (n > 0) {
      slot->sent += (size_t)n;
      continue;
    }
    uint32_t events = wait_for(slot, n);
    if (events == 0) lose(slot, "write");
    else watch(slot, events, EPOLL_CTL_MOD);
    return events != 0;
  }
  watch(slot, EPOLLIN, EPOLL_CTL_MOD);
  return true;
}

static void next_message(struct slot *slot, uint64_t now) {
  slot->window = (slot->window + 131) % PATTERN_PERIOD;
  slot->sent = slot->received = 0;
  slot->began = now;
  send_rest(slot);
}

/* All of the echo has come. */
static void on_echo(struct slot *slot) {
  uint64_t now = now_ns();
  histogram_add(&latency, now - slot->began);
  if (load.mode == ECHO) {
    next_message(slot, now);
    return;
  }
  slot->stage = OPEN;
  load.open++;
  if (load.mode == IDLE) return;
  load.resumed += SSL_session_reused(slot->ssl) == 1;
  SSL_shutdown(slot->ssl);
  end(slot);
  begin(slot);
}

static void on_readable(struct slot *slot) {
  for (;;) {
    int n = SSL_read(slot->ssl, reply, sizeof reply);
    if (n <= 0) {
      if (wait_for(slot, n) == 0) lose(slot, "read");
      return;
    }
    size_t due = slot->sent - slot->received;
    const uint8_t *expected = load.pattern + slot->window + slot->received;
    if ((size_t)n > due || memcmp(reply, expected, (size_t)n) != 0) {
      lose(slot, "an echo brought back other bytes than were sent");
      return;
    }
    slot->received += (size_t)n;
    if (slot->received < load.size) continue;
    on_echo(slot);
    return;
  }
}

static void go_on(struct slot *slot) {
  if (slot->stage == SHAKING) {
    int n = SSL_do_handshake(slot->ssl);
    if (n != 1) {
      uint32_t events = wait_for(slot, n);
      if (events == 0) lose(slot, "handshake");
      else watch(slot, events, EPOLL_CTL_MOD);
      return;
    }
    slot->stage = TALKING;
    if (load.mode == ECHO) load.open++;
  }
  if (slot->sent < load.size && !send_rest(slot)) return;
  on_readable(slot);
}

static void turn(uint64_t end_at) {
  struct epoll_event events[EVENTS];
  int n = epoll_wait(load.epoll, events, EVENTS, milliseconds_until(end_at));
  if (n < 0 && errno != EINTR) fail_errno("epoll_wait");
  for (int i = 0; i < n; i++) go_on(events[i].data.ptr);
}

static void run_until(uint64_t when) {
  while (milliseconds_until(when) > 0) turn(when);
}

/* Bounded, so that no server's listen backlog overflows. */
static void open_up_to(int wanted) {
  uint64_t end_at = now_ns() + PATIENCE;
  while (load.open < wanted) {
    while (load.begun < wanted && load.begun - load.open < OPENING_AT_ONCE)
      begin(&load.slots[load.begun++]);
    if (milliseconds_until(end_at) == 0) fail("only %d of %d were open in time", load.open, wanted);
    turn(end_at);
  }
}

/* ---- OpenSSL */

/* Called for each ticket; the session that comes is kept by returning 1. */
static int on_session(SSL *ssl, SSL_SESSION *session) {
  struct slot *slot = SSL_get_app_data(ssl);
  if (slot->session != NULL) SSL_SESSION_free(slot->session);
  slot->session = session;
  return 1;
}

static SSL_CTX *make_context(void) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
    fail("OpenSSL knows no TLS 1.3 with AES-128-GCM and X25519");
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, on_session);
  return ctx;
}

/* ---- what is measured */

static void print_report(double seconds, const struct cpu_use *cpu) {
  double rate = (double)latency.count / seconds;
  printf("{\"generator\":\"tls\",\"conns\":%d,\"size\":%zu,\"seconds\":%.6f,", load.most, load.size,
         seconds);
  printf("\"count\":%llu,\"perSecond\":%.3f,\"resumed\":%llu,\"errors\":%llu,",
         (unsigned long long)latency.count, rate, (unsigned long long)load.resumed,
         (unsigned long long)load.errors);
  print_cpu(cpu, stdout);
  printf(",\"latency\":");
  histogram_print(&latency, stdout);
  printf("}\n");
}

static void measure(double warmup) {
  if (load.mode == ECHO) {
    open_up_to(load.most);
    /* The first message went with the handshake. */
  } else {
    while (load.begun < load.most) begin(&load.slots[load.begun++]);
  }
  run_until(now_ns() + (uint64_t)(warmup * 1e9));
  histogram_clear(&latency);
  load.resumed = 0;
  uint64_t began = now_ns();
  struct cpu_use before = read_cpu(load.server);
  run_until(began + (uint64_t)(load.seconds * 1e9));
  struct cpu_use cpu = cpu_since(&before, load.server);
  print_report((double)(now_ns() - began) / 1e9, &cpu);
}

static bool wait_for_line(void) {
  int c;
  while ((c = getchar()) != '\n') {
    if (c == EOF) return false;
  }
  return true;
}

static int parse_steps(const char *text, int steps[STEPS_AT_MOST]) {
  int count = 0;
  for (char *end_of = NULL; *text != '\0' && count < STEPS_AT_MOST; text = end_of + (*end_of == ',')) {
    long step = strtol(text, &end_of, 10);
    bool grows = step > (count == 0 ? 0 : steps[count - 1]) && step <= 1000000;
    if (end_of == text || !grows) fail("--steps takes growing numbers with commas between them");
    steps[count++] = (int)step;
  }
  if (count == 0) fail("--steps is empty");
  return count;
}

static void hold(const int *steps, int count) {
  for (int i = 0; i < count; i++) {
    open_up_to(steps[i]);
    printf("{\"open\":%d}\n", load.open);
    fflush(stdout);
    if (!wait_for_line()) return;
  }
}

/* Resets, so that no wait states stay behind. */
static void reset_all(void) {
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < load.begun; i++) {
    struct slot *slot = &load.slots[i];
    if (slot->fd < 0) continue;
    setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    end(slot);
    SSL_SESSION_free(slot->session);
  }
}

static enum mode mode_of(const char *name) {
  if (strcmp(name, "echo") == 0) return ECHO;
  if (strcmp(name, "handshake") == 0) return HANDSHAKE;
  if (strcmp(name, "idle") != 0) fail("--mode takes echo, handshake or idle");
  return IDLE;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"mode",    "addr",   "conns",      "size",  "seconds",
                                      "warmup",  "resume", "server-pid", "steps", NULL};
  int steps[STEPS_AT_MOST];
  check_options(argc, argv, names);
  raise_fd_limit();
  int count = parse_steps(option_text(argc, argv, "steps", "500,2000"), steps);
  load.mode = mode_of(option_text(argc, argv, "mode", "echo"));
  load.resume = option_number(argc, argv, "resume", 0, 0, 1) == 1;
  load.address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000"));
  load.first_source = first_source();
  load.most = (int)option_number(argc, argv, "conns", 50, 1, 100000);
  if (load.mode == IDLE) load.most = steps[count - 1];
  load.size = (size_t)option_number(argc, argv, "size", REQUEST_SIZE, 1, 16 << 20);
  load.seconds = option_seconds(argc, argv, "seconds", 2);
  load.server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30);
  load.pattern = make_pattern(load.size);
  load.slots = calloc((size_t)load.most, sizeof *load.slots);
  load.epoll = epoll_create1(EPOLL_CLOEXEC);
  load.ctx = make_context();
  if (load.slots == NULL || load.epoll < 0) fail_errno("epoll_create1");
  if (load.mode == IDLE) hold(steps, count);
  else measure(option_seconds(argc, argv, "warmup", 0.5));
  reset_all();
  SSL_CTX_free(load.ctx);
  free(load.slots);
  free(load.pattern);
  return 0;
}
