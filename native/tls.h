/*
 * tls.h - what the files that speak TLS share.
 *
 * A connection is named by the fd that it runs on: every call finds it by that number, so that the
 * TypeScript above has the same interface as on a bare socket. Its SSL object sees the socket through
 * a BIO of ours:
 *
 *   reads    recv(2) into OpenSSL's own buffer, which has room for one record; while a peer sends more
 *            than that, into the thread's buffer as well, and what OpenSSL has not taken of it when the
 *            call ends is kept with the connection
 *   writes   records are gathered in the thread's buffer and leave with one send(2) when the call ends,
 *            a single record without being gathered; what the kernel does not take is kept with the
 *            connection and goes first the next time
 *
 * Invariants
 *  - An SSL object never waits to write: its BIO takes everything. So a read never wants to write, and
 *    no record has to be offered again.
 *  - At most one call's worth of records (TLS_SEAL_MOST) waits to be sent, plus what the protocol itself
 *    answers: nothing is sealed while something waits.
 *  - A server's ticket waits for the first answer where the request has come with the client's last
 *    flight (`held`): whatever asks the socket for more, and finds nothing, sends it.
 *  - An idle connection holds no buffer.
 *  - A failure is sticky: tls_conn.failure is what every later call reports.
 *  - The environment's end frees every connection before its fds are closed.
 */
#ifndef CORONET_TLS_H
#define CORONET_TLS_H

#include "coronet.h"
#include "tls_api.h"

/* Plain text that one call seals at most, in bytes: four records. */
#define TLS_SEAL_MOST 65536
/* Plain text of one record at most (RFC 8446, 5.1). */
#define TLS_RECORD_MOST 16384
/* What one recv(2) asks for at most: four full records (RFC 8446, 5.2). */
#define TLS_RECEIVE_MOST (4 * (5 + 16384 + 256))
/* As much, where the caller wants little: one record. */
#define TLS_RECEIVE_FEW (5 + 16384 + 256)

/* Numbers of syscall/errno.ts: how a call fails where no errno says it. */
#define TLS_FAILED 100020    /* OpenSSL refused: tlsFailure(fd) tells what and why */
#define TLS_TRUNCATED 100021 /* the stream ended without the peer having said so */

/* Bits of the first status word, about the fd of the last call. In the second one the caller says that a
 * short read of the socket proves nothing (poll/fd.ts): it is asked until it says EAGAIN. */
enum {
  TLS_MORE = 1,      /* a read can go on without the socket having become readable again */
  TLS_UNFLUSHED = 2, /* sealed records wait for the socket to become writable */
  TLS_HELLO = 4,     /* the handshake waits for tlsChoose */
};

struct tls_ring;

/* A configuration. The JavaScript object has one reference, each connection another. */
typedef struct tls_context {
  SSL_CTX* ctx;
  _Atomic int references;
  uint8_t* alpn; /* the protocols to offer or choose from, as they stand in a hello; NULL for none */
  size_t alpn_length;
  uint8_t* ocsp; /* the staple, DER; NULL for none */
  size_t ocsp_length;
  struct tls_ring* ring; /* keys for tickets of its own; NULL for the process's */
} tls_context;

typedef struct {
  uint8_t* data;
  size_t at, end, capacity;
} tls_bytes;

struct tls_state;

typedef struct tls_conn {
  SSL* ssl;
  tls_context* context;
  struct tls_state* thread; /* whose buffers it uses */
  int fd;
  int failure;       /* negative: what every call reports from now on; 0 */
  int broken;        /* errno of a send(2) that failed, or 0: nothing more can be sent */
  int verify_result; /* X509_V_*, when the failure is the certificate's */
  unsigned long code; /* of the failure, as OpenSSL packs it */
  bool server, ended, drained, distrust, done, write_shut, closed_by_peer, asks_hello, chosen, hello_waits;
  bool refused; /* no connection for the name that the client asks for */
  bool starved; /* the call that runs has found no whole record, and nothing more on the socket */
  bool floods;  /* the last recv(2) filled all that it was given */
  bool held;    /* what waits in `out` is a ticket, which leaves with the first answer */
  tls_bytes in;  /* received and not yet given to OpenSSL; may be the thread's buffer during a call */
  tls_bytes out; /* sealed and not taken by the kernel */
  char* name;    /* the name in the client's hello; NULL when it has none */
  char* keylog;  /* lines for whoever decodes the traffic, not yet fetched; NULL */
} tls_conn;

typedef struct tls_state {
  instance* self;
  tls_conn** conns; /* by fd */
  size_t capacity;
  int32_t* status; /* the status words */
  napi_ref status_ref;
  void* method; /* of our BIO: the process's, as connections move between threads */
  uint8_t received[TLS_RECEIVE_MOST];
  uint8_t gathered[TLS_SEAL_MOST];
  tls_bytes sealed; /* of the call that runs */
  bool direct;      /* it seals one record, which can leave from where OpenSSL has it */
  unsigned long context_code; /* of the last call that configured a context */
} tls_state;

/* tls.c */
tls_state* tls_thread(napi_env env); /* throws when OpenSSL is not there, or tlsInit was not called */
tls_conn* tls_find(const instance* self, int fd);
void tls_conn_free(tls_conn* conn);
bool tls_grow(tls_state* thread, int fd);    /* room for a connection on that fd */
void tls_report(const tls_conn* conn);       /* sets the status word */
void* tls_method_new(void);                  /* a BIO_METHOD; NULL */
bool tls_bytes_append(tls_bytes* bytes, const void* data, size_t length);

/* tls_context.c */
tls_context* tls_context_of(napi_env env, napi_value value);
void tls_context_retain(tls_context* context);
void tls_context_release(tls_context* context);

/* tls_shared.c: what all threads of the process share. */
X509_STORE* tls_roots(void); /* a reference, or NULL when none were given */
void* tls_share_join(void); /* the method of our BIO; NULL when there is no memory, and nothing to leave */
void tls_share_leave(void);
ticket_key_callback tls_ticket_key;
struct tls_ring* tls_ring_new(const uint8_t* keys, size_t count);
void tls_ring_free(struct tls_ring* ring);
napi_value tls_set_roots(napi_env env, napi_callback_info info);

/* tls_transfer.c: connections on their way between threads. */
void tls_parking_leave(const tls_state* source);
void tls_parking_end(void);

#endif
