/*
 * tls_api.h - the functions of OpenSSL that the addon uses, by their stable ABI.
 *
 * Node carries OpenSSL and exports its symbols. They are looked up when TLS is first used, never at
 * link time: the addon has to load on a runtime that exports none. All types are opaque, and the
 * constants are those that OpenSSL promises to keep for all of 3.x.
 * Source: https://docs.openssl.org/3.0/man3/, include/openssl/{ssl,tls1,bio,x509_vfy}.h
 */
#ifndef CORONET_TLS_API_H
#define CORONET_TLS_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_session_st SSL_SESSION;
typedef struct bio_st BIO;
typedef struct x509_st X509;
typedef struct x509_store_st X509_STORE;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;
typedef struct evp_pkey_st EVP_PKEY;

/* Of openssl/core.h: a named value that is handed to a MAC. */
typedef struct {
  const char* key;
  unsigned data_type;
  void* data;
  size_t data_size;
  size_t return_size;
} OSSL_PARAM;

typedef int ticket_key_callback(SSL*, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX*,
                                EVP_MAC_CTX*, int seal);
typedef int passphrase_callback(char* out, int size, int writing, void* data);

enum {
  SSL_OP_NO_TICKET_BITS = 1 << 14,
  TLS1_2 = 0x0303,
  TLS1_3 = 0x0304,
};

#define SSL_OP_CIPHER_SERVER_PREFERENCE ((uint64_t)1 << 22)
#define SSL_OP_NO_COMPRESSION ((uint64_t)1 << 17)
#define SSL_OP_NO_RENEGOTIATION ((uint64_t)1 << 30)
#define SSL_OP_PRIORITIZE_CHACHA ((uint64_t)1 << 21)

enum { SSL_MODE_AUTO_RETRY = 4, SSL_MODE_RELEASE_BUFFERS = 16 };
enum { SSL_VERIFY_NONE = 0, SSL_VERIFY_PEER = 1, SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2 };
enum { SSL_ERROR_WANT_READ = 2, SSL_ERROR_ZERO_RETURN = 6 };
enum { SSL_CLIENT_HELLO_SUCCESS = 1, SSL_CLIENT_HELLO_ERROR = 0, SSL_CLIENT_HELLO_RETRY = -1 };
enum { SSL_TLSEXT_ERR_OK = 0, SSL_TLSEXT_ERR_ALERT_FATAL = 2, SSL_TLSEXT_ERR_NOACK = 3 };
enum { OPENSSL_NPN_NEGOTIATED = 1 };
enum { TLSEXT_TYPE_SERVER_NAME = 0, TLSEXT_STATUSTYPE_OCSP = 1 };
enum { SSL_RECEIVED_SHUTDOWN = 2 };

/* Numbers of SSL_ctrl and SSL_CTX_ctrl. */
enum {
  SSL_CTRL_MODE = 33,
  SSL_CTRL_SET_SESS_CACHE_MODE = 44,
  SSL_CTRL_SET_TLSEXT_SERVERNAME_CB = 53,
  SSL_CTRL_SET_TLSEXT_HOSTNAME = 55,
  SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB = 63,
  SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE = 65,
  SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP = 70,
  SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP = 71,
  SSL_CTRL_CHAIN_CERT = 89,
  SSL_CTRL_SET_GROUPS_LIST = 92,
  SSL_CTRL_SET_SIGALGS_LIST = 98,
  SSL_CTRL_SET_MIN_PROTO_VERSION = 123,
  SSL_CTRL_SET_MAX_PROTO_VERSION = 124,
};

enum { BIO_CTRL_EOF = 2, BIO_CTRL_FLUSH = 11 };
enum { BIO_FLAGS_READ_RETRY = 1 | 8, BIO_FLAGS_RETRY_ALL = 1 | 2 | 4 | 8 };
enum { BIO_TYPE_SOURCE_SINK_OWN = 0x0400 | 100 };
enum { X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 4, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT = 32 };
enum { OSSL_PARAM_UTF8_STRING = 4, OSSL_PARAM_OCTET_STRING = 5 };

/* FN(result, name, arguments) for each. */
#define TLS_FUNCTIONS(FN)                                                                         \
  FN(unsigned long, OpenSSL_version_num, (void))                                                  \
  FN(void*, CRYPTO_malloc, (size_t, const char*, int))                                            \
  FN(int, RAND_bytes, (unsigned char*, int))                                                      \
  FN(void, OPENSSL_cleanse, (void*, size_t))                                                      \
  FN(void, ERR_clear_error, (void))                                                               \
  FN(unsigned long, ERR_peek_error, (void))                                                       \
  FN(const char*, ERR_reason_error_string, (unsigned long))                                       \
  FN(const char*, ERR_lib_error_string, (unsigned long))                                          \
  FN(BIO*, BIO_new, (const void*))                                                                \
  FN(BIO*, BIO_new_mem_buf, (const void*, int))                                                   \
  FN(int, BIO_free, (BIO*))                                                                       \
  FN(void, BIO_set_data, (BIO*, void*))                                                           \
  FN(void*, BIO_get_data, (BIO*))                                                                 \
  FN(void, BIO_set_init, (BIO*, int))                                                             \
  FN(void, BIO_set_flags, (BIO*, int))                                                            \
  FN(void, BIO_clear_flags, (BIO*, int))                                                          \
  FN(void*, BIO_meth_new, (int, const char*))                                                     \
  FN(void, BIO_meth_free, (void*))                                                                \
  FN(int, BIO_meth_set_read, (void*, int (*)(BIO*, char*, int)))                                  \
  FN(int, BIO_meth_set_write, (void*, int (*)(BIO*, const char*, int)))                           \
  FN(int, BIO_meth_set_ctrl, (void*, long (*)(BIO*, int, long, void*)))                           \
  FN(X509*, PEM_read_bio_X509_AUX, (BIO*, X509**, passphrase_callback*, void*))                   \
  FN(X509*, PEM_read_bio_X509, (BIO*, X509**, passphrase_callback*, void*))                       \
  FN(EVP_PKEY*, PEM_read_bio_PrivateKey, (BIO*, EVP_PKEY**, passphrase_callback*, void*))         \
  FN(void*, d2i_PKCS12_bio, (BIO*, void**))                                                       \
  FN(int, PKCS12_parse, (void*, const char*, EVP_PKEY**, X509**, void**))                         \
  FN(void, PKCS12_free, (void*))                                                                  \
  FN(int, OPENSSL_sk_num, (const void*))                                                          \
  FN(void*, OPENSSL_sk_value, (const void*, int))                                                 \
  FN(void, OPENSSL_sk_free, (void*))                                                              \
  FN(void, EVP_PKEY_free, (EVP_PKEY*))                                                            \
  FN(X509*, d2i_X509, (X509**, const unsigned char**, long))                                      \
  FN(int, i2d_X509, (const X509*, unsigned char**))                                               \
  FN(void, X509_free, (X509*))                                                                    \
  FN(X509_STORE*, X509_STORE_new, (void))                                                         \
  FN(int, X509_STORE_up_ref, (X509_STORE*))                                                       \
  FN(void, X509_STORE_free, (X509_STORE*))                                                        \
  FN(int, X509_STORE_add_cert, (X509_STORE*, X509*))                                              \
  FN(const char*, X509_verify_cert_error_string, (long))                                          \
  FN(int, X509_VERIFY_PARAM_set1_host, (void*, const char*, size_t))                              \
  FN(int, X509_VERIFY_PARAM_set1_ip_asc, (void*, const char*))                                    \
  FN(void, X509_VERIFY_PARAM_set_hostflags, (void*, unsigned))                                    \
  FN(const void*, EVP_aes_128_cbc, (void))                                                        \
  FN(int, EVP_EncryptInit_ex,                                                                     \
     (EVP_CIPHER_CTX*, const void*, void*, const unsigned char*, const unsigned char*))           \
  FN(int, EVP_DecryptInit_ex,                                                                     \
     (EVP_CIPHER_CTX*, const void*, void*, const unsigned char*, const unsigned char*))           \
  FN(int, EVP_MAC_CTX_set_params, (EVP_MAC_CTX*, const OSSL_PARAM*))                              \
  FN(const void*, TLS_method, (void))                                                             \
  FN(SSL_CTX*, SSL_CTX_new, (const void*))                                                        \
  FN(void, SSL_CTX_free, (SSL_CTX*))                                                              \
  FN(long, SSL_CTX_ctrl, (SSL_CTX*, int, long, void*))                                            \
  FN(long, SSL_CTX_callback_ctrl, (SSL_CTX*, int, void (*)(void)))                                \
  FN(uint64_t, SSL_CTX_set_options, (SSL_CTX*, uint64_t))                                         \
  FN(int, SSL_CTX_set_cipher_list, (SSL_CTX*, const char*))                                       \
  FN(int, SSL_CTX_set_ciphersuites, (SSL_CTX*, const char*))                                      \
  FN(int, SSL_CTX_use_certificate, (SSL_CTX*, X509*))                                             \
  FN(int, SSL_CTX_use_PrivateKey, (SSL_CTX*, EVP_PKEY*))                                          \
  FN(X509_STORE*, SSL_CTX_get_cert_store, (const SSL_CTX*))                                       \
  FN(void, SSL_CTX_set_cert_store, (SSL_CTX*, X509_STORE*))                                       \
  FN(int, SSL_CTX_add_client_CA, (SSL_CTX*, X509*))                                               \
  FN(int, SSL_CTX_set_session_id_context, (SSL_CTX*, const unsigned char*, unsigned))             \
  FN(int, SSL_CTX_set_num_tickets, (SSL_CTX*, size_t))                                            \
  FN(long, SSL_CTX_set_timeout, (SSL_CTX*, long))                                                 \
  FN(int, SSL_CTX_set_tlsext_ticket_key_evp_cb, (SSL_CTX*, ticket_key_callback*))                 \
  FN(void, SSL_CTX_set_client_hello_cb, (SSL_CTX*, int (*)(SSL*, int*, void*), void*))            \
  FN(void, SSL_CTX_set_alpn_select_cb,                                                            \
     (SSL_CTX*, int (*)(SSL*, const unsigned char**, unsigned char*, const unsigned char*,        \
                        unsigned, void*),                                                         \
      void*))                                                                                     \
  FN(int, SSL_client_hello_get0_ext, (SSL*, unsigned, const unsigned char**, size_t*))            \
  FN(int, SSL_select_next_proto,                                                                  \
     (unsigned char**, unsigned char*, const unsigned char*, unsigned, const unsigned char*,      \
      unsigned))                                                                                  \
  FN(void, SSL_CTX_set_keylog_callback, (SSL_CTX*, void (*)(const SSL*, const char*)))            \
  FN(SSL*, SSL_new, (SSL_CTX*))                                                                   \
  FN(void, SSL_free, (SSL*))                                                                      \
  FN(long, SSL_ctrl, (SSL*, int, long, void*))                                                    \
  FN(void, SSL_set_bio, (SSL*, BIO*, BIO*))                                                       \
  FN(int, SSL_set_ex_data, (SSL*, int, void*))                                                    \
  FN(void*, SSL_get_ex_data, (const SSL*, int))                                                   \
  FN(void, SSL_set_accept_state, (SSL*))                                                          \
  FN(void, SSL_set_connect_state, (SSL*))                                                         \
  FN(void, SSL_set_verify, (SSL*, int, int (*)(int, void*)))                                      \
  FN(void*, SSL_get0_param, (SSL*))                                                               \
  FN(SSL_CTX*, SSL_set_SSL_CTX, (SSL*, SSL_CTX*))                                                 \
  FN(int, SSL_set_alpn_protos, (SSL*, const unsigned char*, unsigned))                            \
  FN(int, SSL_do_handshake, (SSL*))                                                               \
  FN(int, SSL_read, (SSL*, void*, int))                                                           \
  FN(int, SSL_peek, (SSL*, void*, int))                                                           \
  FN(int, SSL_write, (SSL*, const void*, int))                                                    \
  FN(int, SSL_pending, (const SSL*))                                                              \
  FN(int, SSL_has_pending, (const SSL*))                                                          \
  FN(void, SSL_set_read_ahead, (SSL*, int))                                                       \
  FN(int, SSL_shutdown, (SSL*))                                                                   \
  FN(int, SSL_get_error, (const SSL*, int))                                                       \
  FN(int, SSL_session_reused, (const SSL*))                                                       \
  FN(long, SSL_get_verify_result, (const SSL*))                                                   \
  FN(const char*, SSL_get_version, (const SSL*))                                                  \
  FN(const char*, SSL_get_servername, (const SSL*, int))                                          \
  FN(void, SSL_get0_alpn_selected, (const SSL*, const unsigned char**, unsigned*))                \
  FN(const void*, SSL_get_current_cipher, (const SSL*))                                           \
  FN(const char*, SSL_CIPHER_get_name, (const void*))                                             \
  FN(const char*, SSL_CIPHER_standard_name, (const void*))                                        \
  FN(X509*, SSL_get1_peer_certificate, (const SSL*))                                              \
  FN(void*, SSL_get_peer_cert_chain, (const SSL*))                                                \
  FN(SSL_SESSION*, SSL_get1_session, (SSL*))                                                      \
  FN(int, SSL_set_session, (SSL*, SSL_SESSION*))                                                  \
  FN(int, SSL_SESSION_is_resumable, (const SSL_SESSION*))                                         \
  FN(void, SSL_SESSION_free, (SSL_SESSION*))                                                      \
  FN(int, i2d_SSL_SESSION, (SSL_SESSION*, unsigned char**))                                       \
  FN(SSL_SESSION*, d2i_SSL_SESSION, (SSL_SESSION**, const unsigned char**, long))                 \

/* The table of them: tls.SSL_read(...). */
typedef struct {
#define FN(result, name, arguments) result(*name) arguments;
  TLS_FUNCTIONS(FN)
#undef FN
} tls_functions;

extern tls_functions tls;

/* Looks the functions up, once per process: 0 when all are there and OpenSSL is a 3.x. */
enum { TLS_AVAILABLE = 0, TLS_NO_SYMBOLS = 1, TLS_OTHER_VERSION = 2 };
int tls_load(void);

#endif
