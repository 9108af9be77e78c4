/*
 * tls.c - TLS connections: the handshake, bytes in and out, and the end of the stream.
 *
 * Every function returns a number of bytes, 0, or a negative errno, -EAGAIN for "wait"; TLS_FAILED and
 * TLS_TRUNCATED where no errno says it. tls.h has the layout and the invariants.
 */
#define _GNU_SOURCE
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The reason "unexpected eof while reading" (sslerr.h), and where a packed code has its reason. */
#define REASON_EOF 294
#define REASON_OF(code) ((code) & 0x7fffffUL)

/* ---- bytes that wait */

static size_t waiting(const tls_bytes* bytes) { return bytes->end - bytes->at; }

bool tls_bytes_append(tls_bytes* bytes, const void* data, size_t length) {
  if (length > bytes->capacity - bytes->end) {
    size_t capacity = bytes->capacity < 1024 ? 1024 : bytes->capacity;
    while (capacity - bytes->end < length) capacity *= 2;
    uint8_t* grown = realloc(bytes->data, capacity);
    if (grown == NULL) return false;
    bytes->data = grown;
    bytes->capacity = capacity;
  }
  if (length > 0) memcpy(bytes->data + bytes->end, data, length);
  bytes->end += length;
  return true;
}

static void drop(tls_bytes* bytes) {
  free(bytes->data);
  memset(bytes, 0, sizeof *bytes);
}

/* ---- the BIO */

/* recv(2) into `out`, and beyond its `length` bytes into the thread's buffer where more may have come than
 * one record: what asks for a record's head alone, and a connection whose last read was full. */
static ssize_t receive_at(tls_conn* conn, char* out, size_t length, size_t* asked) {
  ssize_t n;
  *asked = length;
  if (length >= TLS_RECEIVE_FEW && !conn->floods) {
    RETRY_EINTR(n, syscall(SYS_recvfrom, conn->fd, out, length, 0, NULL, NULL));
    return n;
  }
  struct iovec parts[2] = {{out, length}, {conn->thread->received, conn->in.capacity /* set by begin */}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  *asked += parts[1].iov_len;
  RETRY_EINTR(n, syscall(SYS_recvmsg, conn->fd, &message, 0));
  return n;
}

/* Receives into `out`, and what goes beyond it into conn->in: bytes in `out`, 0 at the end of the stream,
 * -1 for "not now" or an error. */
static ssize_t receive(tls_conn* conn, char* out, size_t length) {
  if (conn->ended) return 0;
  if (conn->drained) return -1;
  size_t asked;
  ssize_t n = receive_at(conn, out, length, &asked);
  if (n == 0) conn->ended = true;
  if (n < 0 && errno != EAGAIN) conn->failure = -errno;
  conn->floods = n == (ssize_t)asked;
  if (n < 0 || (!conn->floods && !conn->distrust)) conn->drained = true;
  if (n <= (ssize_t)length) return n;
  conn->in.data = conn->thread->received;
  conn->in.at = 0;
  conn->in.end = (size_t)n - length;
  return (ssize_t)length;
}

static int bio_read(BIO* bio, char* out, int length) {
  tls_conn* conn = tls.BIO_get_data(bio);
  tls.BIO_clear_flags(bio, BIO_FLAGS_RETRY_ALL);
  if (waiting(&conn->in) == 0) {
    if (conn->in.data != conn->thread->received) {
      free(conn->in.data);
      conn->in.data = NULL;
    }
    conn->in.at = conn->in.end = 0;
    ssize_t n = receive(conn, out, (size_t)length);
    conn->starved = n < 0;
    if (n < 0 && conn->failure == 0) tls.BIO_set_flags(bio, BIO_FLAGS_READ_RETRY);
    return (int)n;
  }
  size_t n = waiting(&conn->in) < (size_t)length ? waiting(&conn->in) : (size_t)length;
  memcpy(out, conn->in.data + conn->in.at, n);
  conn->in.at += n;
  return (int)n;
}

/* True when a read could find a record, or a part of one, without asking the socket. */
static bool has_records(const tls_conn* conn) {
  return waiting(&conn->in) > 0 || tls.SSL_pending(conn->ssl) > 0 ||
         (!conn->starved && tls.SSL_has_pending(conn->ssl) == 1);
}

/* Sends at once. What the kernel does not take waits with the connection. */
static bool send_direct(tls_conn* conn, const char* data, size_t length) {
  ssize_t n;
  RETRY_EINTR(n, syscall(SYS_sendto, conn->fd, data, length, MSG_NOSIGNAL, NULL, 0));
  if (n < 0 && errno != EAGAIN) conn->broken = errno;
  size_t sent = n < 0 ? 0 : (size_t)n;
  if (conn->broken != 0 || sent == length) return true;
  return tls_bytes_append(&conn->out, data + sent, length - sent);
}

/* Takes everything: it leaves when the call ends. */
static int bio_write(BIO* bio, const char* data, int length) {
  tls_conn* conn = tls.BIO_get_data(bio);
  tls.BIO_clear_flags(bio, BIO_FLAGS_RETRY_ALL);
  if (conn->broken != 0) return length; /* nobody will read it */
  if (conn->thread->direct && waiting(&conn->out) == 0)
    return send_direct(conn, data, (size_t)length) ? length : -1;
  tls_bytes* to = waiting(&conn->out) > 0 ? &conn->out : &conn->thread->sealed;
  return tls_bytes_append(to, data, (size_t)length) ? length : -1;
}

static long bio_ctrl(BIO* bio, int command, long number, void* pointer) {
  (void)number;
  (void)pointer;
  const tls_conn* conn = tls.BIO_get_data(bio);
  if (command == BIO_CTRL_EOF) return conn->ended && waiting(&conn->in) == 0;
  return command == BIO_CTRL_FLUSH;
}

/* ---- around each call into OpenSSL */

/* `want`: how many bytes of plain text the caller has room for. */
static void begin(tls_conn* conn, size_t want) {
  conn->drained = conn->starved = false;
  conn->distrust = conn->thread->status[1] != 0;
  conn->thread->direct = false;
  conn->in.capacity = want > TLS_RECEIVE_FEW ? TLS_RECEIVE_MOST : TLS_RECEIVE_FEW;
  tls.ERR_clear_error();
}

/* Keeps what OpenSSL has not taken out of the thread's buffer. False: no memory for it. */
static bool keep_received(tls_conn* conn) {
  if (conn->in.data != conn->thread->received) return true;
  size_t rest = waiting(&conn->in);
  uint8_t* copy = NULL;
  if (rest > 0 && (copy = malloc(rest)) == NULL) return false;
  if (rest > 0) memcpy(copy, conn->in.data + conn->in.at, rest);
  conn->in.data = copy;
  conn->in.at = 0;
  conn->in.end = rest;
  return true;
}

/* Sends what was sealed: 0, -EAGAIN when the socket is full, or a negative errno. */
static int flush(tls_conn* conn) {
  tls_bytes* sealed = &conn->thread->sealed;
  tls_bytes* from = waiting(&conn->out) > 0 ? &conn->out : sealed;
  size_t length = waiting(from);
  if (length == 0) return 0;
  ssize_t n;
  RETRY_EINTR(n, syscall(SYS_sendto, conn->fd, from->data + from->at, length, MSG_NOSIGNAL, NULL, 0));
  int error = n < 0 ? errno : 0;
  if (n > 0) from->at += (size_t)n;
  if (error == 0 && waiting(from) > 0) error = EAGAIN;
  if (error == EAGAIN && from == sealed &&
      !tls_bytes_append(&conn->out, sealed->data + sealed->at, waiting(sealed)))
    error = ENOMEM;
  if (error != EAGAIN) drop(&conn->out);
  if (error != 0 && error != EAGAIN) conn->broken = error;
  conn->held = false;
  sealed->at = sealed->end = 0;
  return -error;
}

/* What the status word says of the connection. */
void tls_report(const tls_conn* conn) {
  /* Bytes, the end or a failure that a read would find without asking the socket. */
  bool more = !conn->drained || conn->ended || conn->closed_by_peer || conn->failure != 0 ||
              has_records(conn);
  *conn->thread->status = (more ? TLS_MORE : 0) | (waiting(&conn->out) > 0 && !conn->held ? TLS_UNFLUSHED : 0) |
                          (conn->hello_waits ? TLS_HELLO : 0);
}

/* Keeps a ticket for the first answer, when the request is here already: 0, or what flush says. */
static int hold(tls_conn* conn) {
  tls_bytes* sealed = &conn->thread->sealed;
  if (!tls_bytes_append(&conn->out, sealed->data + sealed->at, waiting(sealed))) return flush(conn);
  sealed->at = sealed->end = 0;
  return 0;
}

/* Everything but the result of the call: returns what flush says. */
static int end(tls_conn* conn) {
  if (!keep_received(conn)) {
    conn->in.data = NULL;
    conn->in.at = conn->in.end = 0;
    conn->failure = -ENOMEM;
  }
  int flushed = conn->held ? hold(conn) : flush(conn);
  tls_report(conn);
  return flushed;
}

/* Why OpenSSL could not go on: makes it stick. */
static int failed(tls_conn* conn) {
  if (conn->failure != 0) return conn->failure;
  unsigned long code = tls.ERR_peek_error();
  if (conn->ended && (code == 0 || REASON_OF(code) == REASON_EOF))
    return conn->failure = -TLS_TRUNCATED;
  conn->code = code;
  conn->verify_result = (int)tls.SSL_get_verify_result(conn->ssl);
  tls.ERR_clear_error();
  return conn->failure = -TLS_FAILED;
}

/* ---- the life of a connection */

static int accept_any(int ok, void* store) {
  (void)ok;
  (void)store;
  return 1;
}

bool tls_grow(tls_state* thread, int fd) {
  if ((size_t)fd < thread->capacity) return true;
  size_t capacity = thread->capacity < 64 ? 64 : thread->capacity;
  while (capacity <= (size_t)fd) capacity *= 2;
  tls_conn** conns = realloc(thread->conns, capacity * sizeof *conns);
  if (conns == NULL) return false;
  memset(conns + thread->capacity, 0, (capacity - thread->capacity) * sizeof *conns);
  thread->conns = conns;
  thread->capacity = capacity;
  return true;
}

void tls_conn_free(tls_conn* conn) {
  if (conn->ssl != NULL) tls.SSL_free(conn->ssl);
  tls.ERR_clear_error();
  tls_context_release(conn->context);
  free(conn->in.data);
  free(conn->out.data);
  free(conn->name);
  free(conn->keylog);
  free(conn);
}

static bool set_up(tls_conn* conn) {
  conn->ssl = tls.SSL_new(conn->context->ctx);
  BIO* bio = conn->ssl == NULL ? NULL : tls.BIO_new(conn->thread->method);
  if (bio == NULL) return false;
  tls.BIO_set_data(bio, conn);
  tls.BIO_set_init(bio, 1);
  tls.SSL_set_bio(conn->ssl, bio, bio);
  if (tls.SSL_set_ex_data(conn->ssl, 0, conn) != 1) return false;
  const tls_context* context = conn->context;
  if (conn->server) {
    tls.SSL_set_accept_state(conn->ssl);
    return true;
  }
  tls.SSL_set_connect_state(conn->ssl);
  return context->alpn == NULL ||
         tls.SSL_set_alpn_protos(conn->ssl, context->alpn, (unsigned)context->alpn_length) == 0;
}

enum { VERIFY_NOT, VERIFY_ASK, VERIFY_REQUIRE };

static void set_verify(tls_conn* conn, int verify) {
  int mode = verify == VERIFY_NOT ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
  if (verify == VERIFY_REQUIRE && conn->server) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  tls.SSL_set_verify(conn->ssl, mode, verify == VERIFY_ASK ? accept_any : NULL);
}

static tls_conn* make_conn(tls_state* thread, int fd, tls_context* context, bool server,
                           const uint8_t* leftover, size_t length) {
  tls_conn* conn = calloc(1, sizeof *conn);
  if (conn == NULL) return NULL;
  conn->thread = thread;
  conn->fd = fd;
  conn->context = context;
  conn->server = server;
  tls_context_retain(context);
  tls_bytes first = {0};
  if (!tls_bytes_append(&first, leftover, length) || !set_up(conn)) {
    free(first.data);
    tls_conn_free(conn);
    return NULL;
  }
  conn->in = first;
  return conn;
}

/* tlsOpen(fd, context, server, verify, asksHello, leftover): 0 or a negative errno. `leftover` has come
 * from the peer already. */
static napi_value js_open(napi_env env, napi_callback_info info) {
  napi_value args[6];
  int32_t fd, server, verify, asks_hello;
  uint8_t* leftover;
  size_t length;
  tls_state* thread = tls_thread(env);
  if (thread == NULL || !get_args(env, info, 6, args) || !get_int(env, args[0], "fd", &fd))
    return NULL;
  tls_context* context = tls_context_of(env, args[1]);
  if (context == NULL || !get_int(env, args[2], "server", &server) ||
      !get_int(env, args[3], "verify", &verify) ||
      !get_int(env, args[4], "asksHello", &asks_hello) ||
      !get_bytes(env, args[5], "leftover", &leftover, &length))
    return NULL;
  if (!fd_table_has(&thread->self->fds, fd)) return make_int(env, -EBADF);
  if (tls_find(thread->self, fd) != NULL) return make_int(env, -EBUSY);
  if (!tls_grow(thread, fd)) return make_int(env, -ENOMEM);
  tls_conn* conn = make_conn(thread, fd, context, server != 0, leftover, length);
  tls.ERR_clear_error();
  if (conn == NULL) return make_int(env, -ENOMEM);
  set_verify(conn, verify);
  conn->asks_hello = asks_hello != 0;
  thread->conns[fd] = conn;
  return make_int(env, 0);
}

tls_conn* tls_find(const instance* self, int fd) {
  const tls_state* thread = self->tls;
  if (thread == NULL || fd < 0 || (size_t)fd >= thread->capacity) return NULL;
  return thread->conns[fd];
}

bool tls_watches(const instance* self, int fd) { return tls_find(self, fd) != NULL; }

/* The connection on an fd; *result is what to return when there is none. To be called when all arguments
 * have been checked. */
static tls_conn* conn_on(napi_env env, int32_t fd, napi_value* result) {
  tls_conn* conn = tls_find(get_instance(env), fd);
  if (conn == NULL) *result = make_int(env, -EBADF);
  return conn;
}

static tls_conn* only_conn(napi_env env, napi_callback_info info, napi_value* result) {
  napi_value args[1];
  int32_t fd;
  *result = NULL;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], "fd", &fd)) return NULL;
  return conn_on(env, fd, result);
}

/* tlsClose(fd): forgets the connection; the fd stays open. Says nothing to the peer. */
static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value result;
  tls_conn* conn = only_conn(env, info, &result);
  if (conn == NULL) return result;
  conn->thread->conns[conn->fd] = NULL;
  tls_conn_free(conn);
  return make_int(env, 0);
}

/* ---- the handshake */

static int handshake(tls_conn* conn) {
  if (conn->failure != 0) {
    tls_report(conn);
    return conn->failure;
  }
  conn->hello_waits = false;
  begin(conn, 0);
  int result = conn->done ? 1 : tls.SSL_do_handshake(conn->ssl);
  /* From now on OpenSSL reads whole records at once, straight into its own buffer. Not before: with each
   * change of keys it would move what it has read ahead. */
  if (result == 1 && !conn->done) tls.SSL_set_read_ahead(conn->ssl, 1);
  if (result == 1) conn->done = true;
  /* In TLS 1.3 nothing but tickets follows the client's last flight. */
  conn->held = result == 1 && conn->server && waiting(&conn->in) > 0 && waiting(&conn->out) == 0 &&
               strcmp(tls.SSL_get_version(conn->ssl), "TLSv1.3") == 0;
  bool waits = result != 1 && (conn->hello_waits || tls.SSL_get_error(conn->ssl, result) ==
                                                        SSL_ERROR_WANT_READ);
  if (result != 1 && !waits) result = failed(conn);
  int flushed = end(conn);
  if (waits) return -EAGAIN;
  if (result < 0) return result;
  return flushed;
}

/* tlsHandshake(fd): 0 when it is done and everything has left; -EAGAIN. */
static napi_value js_handshake(napi_env env, napi_callback_info info) {
  napi_value result;
  tls_conn* conn = only_conn(env, info, &result);
  return conn == NULL ? result : make_int(env, handshake(conn));
}

/* tlsChoose(fd, context): answers TLS_HELLO. With null the context stays, with undefined the client is
 * refused. */
static napi_value js_choose(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  napi_valuetype type;
  int32_t fd;
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      napi_typeof(env, args[1], &type) != napi_ok)
    return NULL;
  bool stays_same = type == napi_null || type == napi_undefined;
  tls_context* context = stays_same ? NULL : tls_context_of(env, args[1]);
  if (context == NULL && !stays_same) return NULL;
  tls_conn* conn = conn_on(env, fd, &result);
  if (conn == NULL) return result;
  conn->chosen = true;
  conn->refused = type == napi_undefined;
  if (stays_same) return make_int(env, 0);
  if (tls.SSL_set_SSL_CTX(conn->ssl, context->ctx) == NULL) {
    tls.ERR_clear_error();
    return make_int(env, -ENOMEM);
  }
  tls_context_retain(context);
  tls_context_release(conn->context);
  conn->context = context;
  return make_int(env, 0);
}

/* ---- bytes in */

static bool nothing_left(const tls_conn* conn) { return conn->drained && !has_records(conn); }

/* After a read that gave nothing: 0 at the end, -EAGAIN, or the failure. */
static int no_bytes(tls_conn* conn, int result) {
  int error = tls.SSL_get_error(conn->ssl, result);
  if (error == SSL_ERROR_ZERO_RETURN) {
    conn->closed_by_peer = true;
    return 0;
  }
  return error == SSL_ERROR_WANT_READ ? -EAGAIN : failed(conn);
}

static int64_t receive_plain(tls_conn* conn, uint8_t* data, size_t length) {
  size_t total = 0;
  int last = -EAGAIN;
  if (conn->failure != 0) {
    tls_report(conn);
    return conn->failure;
  }
  begin(conn, length);
  while (total < length) {
    size_t room = length - total > INT32_MAX ? INT32_MAX : length - total;
    int n = tls.SSL_read(conn->ssl, data + total, (int)room);
    if (n <= 0) {
      last = no_bytes(conn, n);
      break;
    }
    total += (size_t)n;
    if (nothing_left(conn)) break;
  }
  if (total == 0) conn->held = false;
  end(conn);
  return total > 0 ? (int64_t)total : last;
}

static napi_value js_recv(napi_env env, napi_callback_info info) {
  napi_value args[4], result;
  int32_t fd;
  uint8_t* data;
  size_t length;
  if (!get_args(env, info, 4, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &length))
    return NULL;
  tls_conn* conn = conn_on(env, fd, &result);
  return conn == NULL ? result : make_int(env, receive_plain(conn, data, length));
}

static napi_value js_recv_scratch(napi_env env, napi_callback_info info) {
  napi_value result;
  tls_conn* conn = only_conn(env, info, &result);
  if (conn == NULL) return result;
  const instance* self = conn->thread->self;
  return make_int(env, receive_plain(conn, self->scratch, self->scratch_length));
}

/* tlsPeek(fd): 1 when a byte waits, 0 at the end, -EAGAIN, or a failure; consumes nothing. */
static napi_value js_peek(napi_env env, napi_callback_info info) {
  napi_value result;
  char byte;
  tls_conn* conn = only_conn(env, info, &result);
  if (conn == NULL) return result;
  if (conn->failure != 0) return make_int(env, conn->failure);
  begin(conn, 0);
  int n = tls.SSL_peek(conn->ssl, &byte, 1);
  if (n <= 0) n = no_bytes(conn, n);
  if (n <= 0) conn->held = false;
  end(conn);
  return make_int(env, n);
}

/* ---- bytes out */

/* 0 when something may be sealed now. */
static int may_seal(tls_conn* conn) {
  if (conn->write_shut || conn->broken != 0) return -EPIPE;
  if (conn->failure <= -TLS_FAILED) return conn->failure;
  if (conn->failure != 0) return -EPIPE;
  if (!conn->done) return -EAGAIN;
  return conn->held ? 0 : flush(conn);
}

static int64_t send_plain(tls_conn* conn, const uint8_t* data, size_t length) {
  int may = may_seal(conn);
  if (may < 0 || length == 0) {
    tls_report(conn);
    return may;
  }
  begin(conn, 0);
  conn->held = false;
  conn->thread->direct = length <= TLS_RECORD_MOST;
  int n = tls.SSL_write(conn->ssl, data, (int)(length < TLS_SEAL_MOST ? length : TLS_SEAL_MOST));
  conn->thread->direct = false;
  if (n <= 0) n = failed(conn);
  /* A send asks the socket nothing: whatever was known of its readability stays. */
  int flushed = end(conn);
  if (n > 0 && flushed < 0 && flushed != -EAGAIN) return flushed;
  if (n > 0 && conn->broken != 0) return -conn->broken;
  return n;
}

static napi_value js_send(napi_env env, napi_callback_info info) {
  napi_value args[4], result;
  int32_t fd;
  uint8_t* data;
  size_t length;
  if (!get_args(env, info, 4, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_span(env, args + 1, &data, &length))
    return NULL;
  tls_conn* conn = conn_on(env, fd, &result);
  return conn == NULL ? result : make_int(env, send_plain(conn, data, length));
}

static napi_value js_send_scratch(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  int32_t fd, length;
  const instance* self = get_instance(env);
  if (!get_args(env, info, 2, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_int(env, args[1], "length", &length))
    return NULL;
  if (length < 0 || (size_t)length > self->scratch_length) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "length must lie within the scratch buffer");
    return NULL;
  }
  tls_conn* conn = conn_on(env, fd, &result);
  return conn == NULL ? result : make_int(env, send_plain(conn, self->scratch, (size_t)length));
}

/* Small chunks share a record: they are put together first. */
static int64_t send_vector(tls_conn* conn, const struct iovec* iov, size_t count) {
  uint8_t* gathered = conn->thread->gathered;
  size_t length = 0;
  for (size_t i = 0; i < count && length < TLS_SEAL_MOST; i++) {
    size_t size = iov[i].iov_len;
    if (length == 0 && size >= TLS_SEAL_MOST) return send_plain(conn, iov[i].iov_base, size);
    if (size > TLS_SEAL_MOST - length) size = TLS_SEAL_MOST - length;
    if (size > 0) memcpy(gathered + length, iov[i].iov_base, size);
    length += size;
  }
  return send_plain(conn, gathered, length);
}

static napi_value js_writev(napi_env env, napi_callback_info info) {
  napi_value args[4], result;
  struct iovec iov[MAX_IOV];
  size_t count = 0;
  int32_t fd;
  if (!get_args(env, info, 4, args) || !get_int(env, args[0], "fd", &fd) ||
      !get_iovec(env, args + 1, iov, &count))
    return NULL;
  /* Looked for last: fetching the chunks may have run a getter. */
  tls_conn* conn = conn_on(env, fd, &result);
  return conn == NULL ? result : make_int(env, send_vector(conn, iov, count));
}

/* tlsFlush(fd): 0 when nothing waits any more, -EAGAIN, or a negative errno. */
static napi_value js_flush(napi_env env, napi_callback_info info) {
  napi_value result;
  tls_conn* conn = only_conn(env, info, &result);
  if (conn == NULL) return result;
  int flushed = flush(conn);
  tls_report(conn);
  return make_int(env, flushed);
}

/* tlsShutdown(fd): tells the peer that nothing follows (close_notify). 0 when that has left, -EAGAIN. */
static napi_value js_shutdown(napi_env env, napi_callback_info info) {
  napi_value result;
  tls_conn* conn = only_conn(env, info, &result);
  if (conn == NULL) return result;
  if (!conn->write_shut && conn->done && conn->failure == 0) {
    tls.ERR_clear_error();
    tls.SSL_shutdown(conn->ssl);
    tls.ERR_clear_error();
  }
  conn->write_shut = true;
  int flushed = flush(conn);
  tls_report(conn);
  return make_int(env, flushed == -EAGAIN ? flushed : 0);
}

/* ---- one thread's state */

tls_state* tls_thread(napi_env env) {
  instance* self = get_instance(env);
  if (self->tls == NULL) napi_throw_type_error(env, "ERR_TLS", "tlsInit comes first");
  return self->tls;
}

void* tls_method_new(void) {
  void* method = tls.BIO_meth_new(BIO_TYPE_SOURCE_SINK_OWN, "coronet");
  if (method == NULL) return NULL;
  tls.BIO_meth_set_read(method, bio_read);
  tls.BIO_meth_set_write(method, bio_write);
  tls.BIO_meth_set_ctrl(method, bio_ctrl);
  return method;
}

/* tlsInit(status): TLS_AVAILABLE and TLS can be used, or why not. `status` gets the status word. */
static napi_value js_init(napi_env env, napi_callback_info info) {
  napi_value args[1];
  napi_typedarray_type type = napi_uint8_array;
  size_t length;
  void* data;
  instance* self = get_instance(env);
  if (!get_args(env, info, 1, args)) return NULL;
  if (napi_get_typedarray_info(env, args[0], &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_int32_array || length < 2) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "status must be an Int32Array of two words");
    return NULL;
  }
  if (!stays(env, args[0], "status must be backed by a SharedArrayBuffer")) return NULL;
  int found = tls_load();
  if (found != TLS_AVAILABLE || self->tls != NULL) return make_int(env, found);
  tls_state* state = calloc(1, sizeof *state);
  if (state == NULL) return make_int(env, -ENOMEM);
  if (napi_create_reference(env, args[0], 1, &state->status_ref) != napi_ok) {
    free(state);
    return NULL;
  }
  state->method = tls_share_join();
  if (state->method == NULL) {
    napi_delete_reference(env, state->status_ref);
    free(state);
    return make_int(env, -ENOMEM);
  }
  state->self = self;
  state->status = data;
  self->tls = state;
  return make_int(env, found);
}

void tls_end(instance* self) {
  tls_state* thread = self->tls;
  if (thread == NULL) return;
  for (size_t fd = 0; fd < thread->capacity; fd++)
    if (thread->conns[fd] != NULL) tls_conn_free(thread->conns[fd]);
  free(thread->conns);
  free(thread->sealed.data);
  tls_parking_leave(thread);
  free(thread);
  self->tls = NULL;
  tls_share_leave();
}

napi_status tls_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("tlsInit", js_init),
      FUNCTION("tlsOpen", js_open),
      FUNCTION("tlsClose", js_close),
      FUNCTION("tlsHandshake", js_handshake),
      FUNCTION("tlsChoose", js_choose),
      FUNCTION("tlsRecv", js_recv),
      FUNCTION("tlsRecvScratch", js_recv_scratch),
      FUNCTION("tlsPeek", js_peek),
      FUNCTION("tlsSend", js_send),
      FUNCTION("tlsSendScratch", js_send_scratch),
      FUNCTION("tlsWritev", js_writev),
      FUNCTION("tlsFlush", js_flush),
      FUNCTION("tlsShutdown", js_shutdown),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
