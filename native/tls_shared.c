/*
 * tls_shared.c - what the threads of the process share of TLS: the root certificates, parsed once, and
 * the keys that seal session tickets, so that a client resumes whichever thread it meets.
 *
 * A ticket's key is 48 bytes, as node:tls has them: 16 that name it, 16 for HMAC-SHA-256, 16 for
 * AES-128-CBC (RFC 5077, 4).
 * The first key of a ring seals; all of them open, and what an older one opened is sealed anew.
 */
#define _GNU_SOURCE
#include "tls.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME_BYTES = 16, MAC_BYTES = 16, KEY_BYTES = 48, IV_BYTES = 16 };
enum { MOST_KEYS = 16 };
/* The process's own keys: a new one each half day, and three that still open. */
enum { OWN_KEYS = 4, OWN_KEY_SECONDS = 12 * 3600 };

struct tls_ring {
  size_t count;
  uint8_t keys[MOST_KEYS][KEY_BYTES];
};

static struct {
  pthread_mutex_t mutex;
  int threads; /* that use TLS */
  void* method; /* of our BIO, while there are some */
  X509_STORE* roots;
  struct tls_ring own;
  time_t made; /* when the first of its keys was, by the monotonic clock */
} process = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void* tls_share_join(void) {
  pthread_mutex_lock(&process.mutex);
  if (process.threads == 0) process.method = tls_method_new();
  void* method = process.method;
  if (method != NULL) process.threads++;
  pthread_mutex_unlock(&process.mutex);
  return method;
}

/* With the last thread goes everything: the addon itself may be unloaded then. */
void tls_share_leave(void) {
  pthread_mutex_lock(&process.mutex);
  if (--process.threads == 0) {
    tls_parking_end();
    tls.BIO_meth_free(process.method);
    if (process.roots != NULL) tls.X509_STORE_free(process.roots);
    process.roots = NULL;
    tls.OPENSSL_cleanse(&process.own, sizeof process.own);
  }
  pthread_mutex_unlock(&process.mutex);
}

X509_STORE* tls_roots(void) {
  pthread_mutex_lock(&process.mutex);
  X509_STORE* roots = process.roots;
  if (roots != NULL) tls.X509_STORE_up_ref(roots);
  pthread_mutex_unlock(&process.mutex);
  return roots;
}

static X509_STORE* parse_roots(const uint8_t* pem, size_t length) {
  BIO* bio = tls.BIO_new_mem_buf(pem, (int)length);
  X509_STORE* store = tls.X509_STORE_new();
  X509* cert;
  size_t count = 0;
  while (bio != NULL && store != NULL &&
         (cert = tls.PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
    tls.X509_STORE_add_cert(store, cert);
    tls.X509_free(cert);
    count++;
  }
  if (bio != NULL) tls.BIO_free(bio);
  tls.ERR_clear_error();
  if (count > 0 || store == NULL) return store;
  tls.X509_STORE_free(store);
  return NULL;
}

/* tlsRoots(pem): sets the process's root certificates, once; with no bytes it only tells whether they
 * are set. */
napi_value tls_set_roots(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  uint8_t* pem;
  size_t length;
  if (!get_args(env, info, 1, args) || !get_bytes(env, args[0], "roots", &pem, &length)) return NULL;
  if (tls_thread(env) == NULL) return NULL;
  pthread_mutex_lock(&process.mutex);
  if (process.roots == NULL && length > 0 && length <= INT32_MAX)
    process.roots = parse_roots(pem, length);
  bool set = process.roots != NULL;
  pthread_mutex_unlock(&process.mutex);
  napi_get_boolean(env, set, &result);
  return result;
}

struct tls_ring* tls_ring_new(const uint8_t* keys, size_t length) {
  size_t count = length / KEY_BYTES;
  if (length == 0 || length % KEY_BYTES != 0 || count > MOST_KEYS) return NULL;
  struct tls_ring* ring = calloc(1, sizeof *ring);
  if (ring == NULL) return NULL;
  ring->count = count;
  memcpy(ring->keys, keys, length);
  return ring;
}

void tls_ring_free(struct tls_ring* ring) {
  if (ring == NULL) return;
  tls.OPENSSL_cleanse(ring, sizeof *ring);
  free(ring);
}

/* Adds a fresh key in front when the first one is old. Under the mutex. */
static bool renew_own(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  struct tls_ring* own = &process.own;
  if (own->count > 0 && now.tv_sec - process.made < OWN_KEY_SECONDS) return true;
  uint8_t fresh[KEY_BYTES];
  if (tls.RAND_bytes(fresh, KEY_BYTES) != 1) return own->count > 0;
  memmove(own->keys[1], own->keys[0], (OWN_KEYS - 1) * KEY_BYTES);
  memcpy(own->keys[0], fresh, KEY_BYTES);
  tls.OPENSSL_cleanse(fresh, KEY_BYTES);
  if (own->count < OWN_KEYS) own->count++;
  process.made = now.tv_sec;
  return true;
}

/* The place of the key with that name; the first one for no name; -1 for none. */
static int find_key(const struct tls_ring* ring, const unsigned char* name, uint8_t* key) {
  for (size_t i = 0; i < ring->count; i++) {
    if (name != NULL && memcmp(name, ring->keys[i], NAME_BYTES) != 0) continue;
    memcpy(key, ring->keys[i], KEY_BYTES);
    return (int)i;
  }
  return -1;
}

static int key_of(const tls_conn* conn, const unsigned char* name, uint8_t* key) {
  if (conn->context->ring != NULL) return find_key(conn->context->ring, name, key);
  pthread_mutex_lock(&process.mutex);
  int place = renew_own() ? find_key(&process.own, name, key) : -1;
  pthread_mutex_unlock(&process.mutex);
  return place;
}

/* Called by OpenSSL: prepares the cipher and the MAC of a ticket. 1: go on, 2: and seal it anew, 0: no
 * such key, a full handshake follows, -1: failed. SSL_CTX_set_tlsext_ticket_key_evp_cb(3) */
int tls_ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                   EVP_MAC_CTX* mac, int seal) {
  uint8_t key[KEY_BYTES];
  const tls_conn* conn = tls.SSL_get_ex_data(ssl, 0);
  if (conn == NULL) return -1;
  int place = key_of(conn, seal ? NULL : name, key);
  if (place < 0) return seal ? -1 : 0;
  static char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      {"key", OSSL_PARAM_OCTET_STRING, key + NAME_BYTES, MAC_BYTES, 0},
      {"digest", OSSL_PARAM_UTF8_STRING, digest, sizeof digest - 1, 0},
      {NULL, 0, NULL, 0, 0},
  };
  const uint8_t* cipher_key = key + NAME_BYTES + MAC_BYTES;
  const void* aes = tls.EVP_aes_128_cbc();
  bool ready;
  if (seal) {
    memcpy(name, key, NAME_BYTES);
    ready = tls.RAND_bytes(iv, IV_BYTES) == 1 &&
            tls.EVP_EncryptInit_ex(cipher, aes, NULL, cipher_key, iv) == 1;
  } else {
    ready = tls.EVP_DecryptInit_ex(cipher, aes, NULL, cipher_key, iv) == 1;
  }
  ready = ready && tls.EVP_MAC_CTX_set_params(mac, params) == 1;
  tls.OPENSSL_cleanse(key, sizeof key);
  if (!ready) return -1;
  /* In TLS 1.3 a ticket is good for one connection (RFC 8446, C.4). */
  bool once = strcmp(tls.SSL_get_version(ssl), "TLSv1.3") == 0;
  return !seal && (once || place > 0) ? 2 : 1;
}
