/*
 * tls_context.c - configurations: certificate and key, whom to trust, which versions and ciphers.
 *
 * A context is a JavaScript object with a type tag; each connection on it holds a reference as well, so
 * that the object may be collected, or replaced in its listener, while connections live on.
 */
#define _GNU_SOURCE
#include "tls.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const napi_type_tag context_tag = {0x1f6b2f0a3ad84c55, 0x9d1b7a4de0c35e21};

void tls_context_retain(tls_context* context) { atomic_fetch_add(&context->references, 1); }

void tls_context_release(tls_context* context) {
  if (context == NULL || atomic_fetch_sub(&context->references, 1) > 1) return;
  tls.SSL_CTX_free(context->ctx);
  tls_ring_free(context->ring);
  free(context->alpn);
  free(context->ocsp);
  free(context);
}

static void finalize(napi_env env, void* data, void* hint) {
  (void)env;
  (void)hint;
  tls_context_release(data);
}

tls_context* tls_context_of(napi_env env, napi_value value) {
  void* context = NULL;
  bool tagged = false;
  if (napi_check_object_type_tag(env, value, &context_tag, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, value, &context) == napi_ok)
    return context;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "context must come from tlsContext");
  return NULL;
}

/* ---- what OpenSSL asks during a handshake */

/* Keeps the name that the client asks for: a list of entries (type, length, name), RFC 6066, 3. */
static void keep_name(tls_conn* conn, const unsigned char* list, size_t length) {
  if (length < 5 || list[2] != 0) return;
  size_t size = (size_t)list[3] << 8 | list[4];
  if (size == 0 || size > length - 5 || memchr(list + 5, 0, size) != NULL) return;
  free(conn->name);
  conn->name = strndup((const char*)list + 5, size);
}

/* RFC 6066, 3 */
enum { ALERT_UNRECOGNIZED_NAME = 112 };

static int on_hello(SSL* ssl, int* alert, void* arg) {
  (void)arg;
  tls_conn* conn = tls.SSL_get_ex_data(ssl, 0);
  if (conn != NULL && conn->refused) {
    *alert = ALERT_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
  }
  if (conn == NULL || !conn->asks_hello || conn->chosen) return SSL_CLIENT_HELLO_SUCCESS;
  const unsigned char* list;
  size_t length;
  if (tls.SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_SERVER_NAME, &list, &length) == 1)
    keep_name(conn, list, length);
  conn->hello_waits = true;
  return SSL_CLIENT_HELLO_RETRY;
}

/* Tells the client that its name was understood. */
static int on_name(SSL* ssl, int* alert, void* arg) {
  (void)ssl;
  (void)alert;
  (void)arg;
  return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* offered, unsigned length, void* arg) {
  (void)arg;
  const tls_conn* conn = tls.SSL_get_ex_data(ssl, 0);
  if (conn == NULL || conn->context->alpn == NULL) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* chosen;
  int found = tls.SSL_select_next_proto(&chosen, out_length, conn->context->alpn,
                                        (unsigned)conn->context->alpn_length, offered, length);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The server's side: staples the answer that it has. The copy becomes OpenSSL's. */
static int on_status(SSL* ssl, void* arg) {
  (void)arg;
  const tls_conn* conn = tls.SSL_get_ex_data(ssl, 0);
  if (conn == NULL) return SSL_TLSEXT_ERR_NOACK;
  if (!conn->server) return 1; /* a client takes what comes, or nothing */
  const tls_context* context = conn->context;
  if (context->ocsp == NULL) return SSL_TLSEXT_ERR_NOACK;
  void* copy = tls.CRYPTO_malloc(context->ocsp_length, __FILE__, __LINE__);
  if (copy == NULL) return SSL_TLSEXT_ERR_NOACK;
  memcpy(copy, context->ocsp, context->ocsp_length);
  tls.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP, (long)context->ocsp_length, copy);
  return SSL_TLSEXT_ERR_OK;
}

static void on_keylog(const SSL* ssl, const char* line) {
  tls_conn* conn = tls.SSL_get_ex_data(ssl, 0);
  if (conn == NULL) return;
  size_t have = conn->keylog == NULL ? 0 : strlen(conn->keylog), more = strlen(line);
  char* lines = realloc(conn->keylog, have + more + 2);
  if (lines == NULL) return;
  memcpy(lines + have, line, more);
  memcpy(lines + have + more, "\n", 2);
  conn->keylog = lines;
}

/* A callback of another type than the table's; C has no cast between them that is always right. */
static void set_callback(SSL_CTX* ctx, int which, const void* function) {
  void (*callback)(void);
  memcpy(&callback, function, sizeof callback);
  tls.SSL_CTX_callback_ctrl(ctx, which, callback);
}

static void set_up(SSL_CTX* ctx) {
  int (*name_callback)(SSL*, int*, void*) = on_name;
  int (*status_callback)(SSL*, void*) = on_status;
  tls.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS, NULL);
  tls.SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  /* Sessions live in tickets alone: a cache would belong to one thread. */
  tls.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, 0, NULL);
  tls.SSL_CTX_set_num_tickets(ctx, 1);
  tls.SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ticket_key);
  tls.SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
  tls.SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
  set_callback(ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, &name_callback);
  set_callback(ctx, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, &status_callback);
}

/* tlsContext(): an empty configuration. */
static napi_value js_context(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value object;
  if (tls_thread(env) == NULL) return NULL;
  tls_context* context = calloc(1, sizeof *context);
  SSL_CTX* ctx = context == NULL ? NULL : tls.SSL_CTX_new(tls.TLS_method());
  if (ctx == NULL) {
    free(context);
    napi_throw_error(env, "ERR_OUT_OF_MEMORY", "no memory for a TLS context");
    return NULL;
  }
  context->ctx = ctx;
  context->references = 1;
  set_up(ctx);
  if (napi_create_object(env, &object) != napi_ok ||
      napi_wrap(env, object, context, finalize, NULL, NULL) != napi_ok) {
    tls_context_release(context);
    return NULL;
  }
  if (napi_type_tag_object(env, object, &context_tag) != napi_ok) return NULL;
  return object;
}

/* ---- what it is made of */

static int give_passphrase(char* out, int size, int writing, void* data) {
  (void)writing;
  const tls_bytes* passphrase = data;
  size_t length = passphrase->end;
  if (passphrase->data == NULL || length > (size_t)size) return -1;
  memcpy(out, passphrase->data, length);
  return (int)length;
}

/* A certificate and those that lead from it to a root. */
static bool use_chain(SSL_CTX* ctx, BIO* bio, tls_bytes* passphrase) {
  X509* leaf = tls.PEM_read_bio_X509_AUX(bio, NULL, give_passphrase, passphrase);
  if (leaf == NULL) return false;
  bool ok = tls.SSL_CTX_use_certificate(ctx, leaf) == 1;
  tls.X509_free(leaf);
  X509* next;
  while (ok && (next = tls.PEM_read_bio_X509(bio, NULL, give_passphrase, passphrase)) != NULL) {
    ok = tls.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 0, next) == 1; /* takes it over */
    if (!ok) tls.X509_free(next);
  }
  if (ok) tls.ERR_clear_error(); /* the end of the text counts as an error */
  return ok;
}

static bool use_key(SSL_CTX* ctx, BIO* bio, tls_bytes* passphrase) {
  EVP_PKEY* key = tls.PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, passphrase);
  if (key == NULL) return false;
  bool ok = tls.SSL_CTX_use_PrivateKey(ctx, key) == 1;
  tls.EVP_PKEY_free(key);
  return ok;
}

/* The store is this context's own from the first certificate on. */
static bool trust(SSL_CTX* ctx, BIO* bio) {
  X509_STORE* store = tls.SSL_CTX_get_cert_store(ctx);
  X509* cert = tls.PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
  if (cert == NULL) return false;
  for (; cert != NULL; cert = tls.PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) {
    tls.X509_STORE_add_cert(store, cert);
    tls.SSL_CTX_add_client_CA(ctx, cert);
    tls.X509_free(cert);
  }
  tls.ERR_clear_error();
  return true;
}

/* They lead from the certificate to a root; whom to trust is told by `ca` alone. */
static bool use_extra(SSL_CTX* ctx, void* chain) {
  bool ok = true;
  for (int i = 0; chain != NULL && i < tls.OPENSSL_sk_num(chain); i++) {
    X509* cert = tls.OPENSSL_sk_value(chain, i);
    if (ok) ok = tls.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 1, cert) == 1; /* takes a reference */
    tls.X509_free(cert);
  }
  if (chain != NULL) tls.OPENSSL_sk_free(chain);
  return ok;
}

static bool use_pfx(SSL_CTX* ctx, BIO* bio, tls_bytes* passphrase) {
  void* pfx = tls.d2i_PKCS12_bio(bio, NULL);
  if (pfx == NULL) return false;
  char word[1025] = "";
  if (passphrase->data != NULL && passphrase->end < sizeof word)
    memcpy(word, passphrase->data, passphrase->end);
  EVP_PKEY* key = NULL;
  X509* cert = NULL;
  void* chain = NULL;
  bool ok = tls.PKCS12_parse(pfx, word, &key, &cert, &chain) == 1;
  tls.OPENSSL_cleanse(word, sizeof word);
  tls.PKCS12_free(pfx);
  ok = ok && cert != NULL && key != NULL && tls.SSL_CTX_use_certificate(ctx, cert) == 1 &&
       tls.SSL_CTX_use_PrivateKey(ctx, key) == 1;
  ok = use_extra(ctx, chain) && ok;
  if (key != NULL) tls.EVP_PKEY_free(key);
  if (cert != NULL) tls.X509_free(cert);
  return ok;
}

static bool copy_bytes(uint8_t** out, size_t* out_length, const uint8_t* data, size_t length) {
  uint8_t* copy = malloc(length == 0 ? 1 : length);
  if (copy == NULL) return false;
  if (length > 0) memcpy(copy, data, length); /* an empty array may have no address */
  free(*out);
  *out = copy;
  *out_length = length;
  return true;
}

static bool use_ring(tls_context* context, const uint8_t* keys, size_t length) {
  struct tls_ring* ring = tls_ring_new(keys, length);
  if (ring == NULL) return false;
  tls_ring_free(context->ring);
  context->ring = ring;
  return true;
}

static bool use_roots(SSL_CTX* ctx) {
  X509_STORE* roots = tls_roots();
  if (roots == NULL) return false;
  tls.SSL_CTX_set_cert_store(ctx, roots); /* takes the reference over */
  return true;
}

enum part {
  CERT, KEY, PFX, CA, CIPHERS, SUITES, GROUPS, SIGALGS, ALPN, OCSP, SESSION_CONTEXT, TICKET_KEYS,
  ROOTS, KEYLOG, PARTS
};

/* The lists of names are texts; TypeScript ends them with a zero. */
static bool is_text(const uint8_t* data, size_t length) {
  return length > 0 && memchr(data, 0, length) == data + length - 1;
}

static bool use_text(SSL_CTX* ctx, enum part part, void* text) {
  if (part == CIPHERS) return tls.SSL_CTX_set_cipher_list(ctx, text) == 1;
  if (part == SUITES) return tls.SSL_CTX_set_ciphersuites(ctx, text) == 1;
  int which = part == GROUPS ? SSL_CTRL_SET_GROUPS_LIST : SSL_CTRL_SET_SIGALGS_LIST;
  return tls.SSL_CTX_ctrl(ctx, which, 0, text) == 1;
}

static bool use_pem(SSL_CTX* ctx, enum part part, const uint8_t* data, size_t length,
                    tls_bytes* passphrase) {
  BIO* bio = tls.BIO_new_mem_buf(data, (int)length);
  if (bio == NULL) return false;
  bool ok = part == CERT ? use_chain(ctx, bio, passphrase)
            : part == KEY ? use_key(ctx, bio, passphrase)
            : part == PFX ? use_pfx(ctx, bio, passphrase)
                          : trust(ctx, bio);
  tls.BIO_free(bio);
  return ok;
}

static bool use_part(tls_context* context, enum part part, const uint8_t* data, size_t length,
                     tls_bytes* passphrase) {
  SSL_CTX* ctx = context->ctx;
  switch (part) {
    case ALPN: return copy_bytes(&context->alpn, &context->alpn_length, data, length);
    case OCSP: return copy_bytes(&context->ocsp, &context->ocsp_length, data, length);
    case SESSION_CONTEXT:
      return tls.SSL_CTX_set_session_id_context(ctx, data, (unsigned)length) == 1;
    case TICKET_KEYS: return use_ring(context, data, length);
    case ROOTS: return use_roots(ctx);
    case KEYLOG: tls.SSL_CTX_set_keylog_callback(ctx, on_keylog); return true;
    case CIPHERS: case SUITES: case GROUPS: case SIGALGS:
      return is_text(data, length) && use_text(ctx, part, (void*)data);
    default: return use_pem(ctx, part, data, length, passphrase);
  }
}

/* tlsContextUse(context, part, bytes, passphrase): true, or false and tlsContextFailure() tells why. */
static napi_value js_use(napi_env env, napi_callback_info info) {
  napi_value args[4], result;
  int32_t part;
  uint8_t* data;
  size_t length;
  tls_bytes passphrase = {0};
  tls_state* thread = tls_thread(env);
  if (thread == NULL || !get_args(env, info, 4, args)) return NULL;
  tls_context* context = tls_context_of(env, args[0]);
  if (context == NULL || !get_int(env, args[1], "part", &part) ||
      !get_bytes(env, args[2], "bytes", &data, &length) ||
      !get_bytes(env, args[3], "passphrase", &passphrase.data, &passphrase.end))
    return NULL;
  if (part < 0 || part >= PARTS || length > INT32_MAX) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "part must be one of a context's");
    return NULL;
  }
  tls.ERR_clear_error();
  bool ok = use_part(context, (enum part)part, data, length, &passphrase);
  thread->context_code = ok ? 0 : tls.ERR_peek_error();
  tls.ERR_clear_error();
  napi_get_boolean(env, ok, &result);
  return result;
}

/* tlsContextLimits(context, lowest version, highest, prefer the server's order, ticket seconds, tickets) */
static napi_value js_limits(napi_env env, napi_callback_info info) {
  napi_value args[6];
  int32_t lowest, highest, server_order, seconds, tickets;
  if (tls_thread(env) == NULL || !get_args(env, info, 6, args)) return NULL;
  tls_context* context = tls_context_of(env, args[0]);
  if (context == NULL || !get_int(env, args[1], "lowest", &lowest) ||
      !get_int(env, args[2], "highest", &highest) ||
      !get_int(env, args[3], "serverOrder", &server_order) ||
      !get_int(env, args[4], "seconds", &seconds) || !get_int(env, args[5], "tickets", &tickets))
    return NULL;
  if (seconds < 1 || tickets < 0 || tickets > 16) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "seconds and tickets must lie in their ranges");
    return NULL;
  }
  SSL_CTX* ctx = context->ctx;
  bool ok = tls.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, lowest, NULL) == 1 &&
            tls.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MAX_PROTO_VERSION, highest, NULL) == 1;
  if (server_order)
    tls.SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  if (tickets == 0) tls.SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET_BITS);
  tls.SSL_CTX_set_num_tickets(ctx, (size_t)tickets);
  tls.SSL_CTX_set_timeout(ctx, seconds);
  tls.ERR_clear_error();
  napi_value result;
  napi_get_boolean(env, ok, &result);
  return result;
}

napi_status tls_context_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("tlsRoots", tls_set_roots),
      FUNCTION("tlsContext", js_context),
      FUNCTION("tlsContextUse", js_use),
      FUNCTION("tlsContextLimits", js_limits),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
