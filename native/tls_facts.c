/*
 * tls_facts.c - what is known of a connection: what was agreed upon, who the peer is, why it failed; and
 * what a client is told before the handshake.
 */
#define _GNU_SOURCE
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static tls_conn* conn_of(napi_env env, napi_value value) {
  int32_t fd;
  if (!get_int(env, value, "fd", &fd)) return NULL;
  tls_conn* conn = tls_find(get_instance(env), fd);
  if (conn == NULL) napi_throw_range_error(env, "ERR_TLS", "no TLS on this fd");
  return conn;
}

static tls_conn* only_conn(napi_env env, napi_callback_info info) {
  napi_value args[1];
  return get_args(env, info, 1, args) ? conn_of(env, args[0]) : NULL;
}

/* Each makes the next element of a result. */
static bool add(napi_env env, napi_value array, napi_value value) {
  uint32_t length = 0;
  return value != NULL && napi_get_array_length(env, array, &length) == napi_ok &&
         napi_set_element(env, array, length, value) == napi_ok;
}

static bool add_text(napi_env env, napi_value array, const char* text, size_t length) {
  napi_value value = NULL;
  if (text == NULL) napi_get_undefined(env, &value);
  else napi_create_string_latin1(env, text, length, &value);
  return add(env, array, value);
}

static bool add_number(napi_env env, napi_value array, double number) {
  napi_value value = NULL;
  napi_create_double(env, number, &value);
  return add(env, array, value);
}

static napi_value bytes_of(napi_env env, const void* data, size_t length) {
  napi_value value = NULL;
  void* copy;
  if (napi_create_buffer_copy(env, length, data, &copy, &value) != napi_ok) return NULL;
  return value;
}

/* tlsFacts(fd): [version, cipher (IANA's name), its name in OpenSSL, protocol by ALPN, server name,
 * 1 when a session was resumed, result of verifying the peer, that in words]. */
static napi_value js_facts(napi_env env, napi_callback_info info) {
  napi_value out;
  tls_conn* conn = only_conn(env, info);
  if (conn == NULL || napi_create_array(env, &out) != napi_ok) return NULL;
  const unsigned char* alpn = NULL;
  unsigned alpn_length = 0;
  const void* cipher = tls.SSL_get_current_cipher(conn->ssl);
  const char* standard = cipher == NULL ? NULL : tls.SSL_CIPHER_standard_name(cipher);
  const char* name = cipher == NULL ? NULL : tls.SSL_CIPHER_get_name(cipher);
  const char* server_name = tls.SSL_get_servername(conn->ssl, 0);
  long verified = tls.SSL_get_verify_result(conn->ssl);
  const char* words = tls.X509_verify_cert_error_string(verified);
  tls.SSL_get0_alpn_selected(conn->ssl, &alpn, &alpn_length);
  if (server_name == NULL) server_name = conn->name;
  bool ok = add_text(env, out, tls.SSL_get_version(conn->ssl), NAPI_AUTO_LENGTH) &&
            add_text(env, out, standard, NAPI_AUTO_LENGTH) &&
            add_text(env, out, name, NAPI_AUTO_LENGTH) &&
            add_text(env, out, (const char*)alpn, alpn_length) &&
            add_text(env, out, server_name, NAPI_AUTO_LENGTH) &&
            add_number(env, out, tls.SSL_session_reused(conn->ssl)) &&
            add_number(env, out, (double)verified) && add_text(env, out, words, NAPI_AUTO_LENGTH);
  return ok ? out : NULL;
}

/* tlsHello(fd): the name that the client asks for, while TLS_HELLO; undefined for none. */
static napi_value js_hello(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  tls_conn* conn = only_conn(env, info);
  if (conn == NULL) return NULL;
  if (conn->name == NULL) napi_get_undefined(env, &value);
  else napi_create_string_latin1(env, conn->name, NAPI_AUTO_LENGTH, &value);
  return value;
}

static napi_value words_of(napi_env env, unsigned long code, int verify_result) {
  napi_value out;
  if (napi_create_array(env, &out) != napi_ok) return NULL;
  const char* verify = verify_result == 0 ? NULL : tls.X509_verify_cert_error_string(verify_result);
  bool ok = add_number(env, out, (double)code) &&
            add_text(env, out, tls.ERR_lib_error_string(code), NAPI_AUTO_LENGTH) &&
            add_text(env, out, tls.ERR_reason_error_string(code), NAPI_AUTO_LENGTH) &&
            add_number(env, out, verify_result) && add_text(env, out, verify, NAPI_AUTO_LENGTH);
  return ok ? out : NULL;
}

/* tlsFailure(fd): [code, library, reason, result of verifying the peer, that in words]. */
static napi_value js_failure(napi_env env, napi_callback_info info) {
  tls_conn* conn = only_conn(env, info);
  return conn == NULL ? NULL : words_of(env, conn->code, conn->verify_result);
}

/* tlsContextFailure(): the same of the last tlsContextUse. */
static napi_value js_context_failure(napi_env env, napi_callback_info info) {
  (void)info;
  const tls_state* thread = tls_thread(env);
  return thread == NULL ? NULL : words_of(env, thread->context_code, 0);
}

static bool add_cert(napi_env env, napi_value array, const X509* cert) {
  unsigned char* der = NULL;
  int length = tls.i2d_X509(cert, NULL);
  if (length <= 0 || (der = malloc((size_t)length)) == NULL) return false;
  unsigned char* end = der;
  tls.i2d_X509(cert, &end);
  bool ok = add(env, array, bytes_of(env, der, (size_t)length));
  free(der);
  return ok;
}

/* tlsPeerCertificates(fd): what the peer sent, in DER, its own certificate first. */
static napi_value js_peer_certificates(napi_env env, napi_callback_info info) {
  napi_value out;
  tls_conn* conn = only_conn(env, info);
  if (conn == NULL || napi_create_array(env, &out) != napi_ok) return NULL;
  X509* own = tls.SSL_get1_peer_certificate(conn->ssl);
  if (own == NULL) return out;
  bool ok = add_cert(env, out, own);
  tls.X509_free(own);
  const void* chain = tls.SSL_get_peer_cert_chain(conn->ssl);
  int count = chain == NULL ? 0 : tls.OPENSSL_sk_num(chain);
  /* A client's chain begins with the server's own certificate; a server's does not (SSL_get_peer_cert_chain(3)). */
  for (int i = conn->server ? 0 : 1; ok && i < count; i++)
    ok = add_cert(env, out, tls.OPENSSL_sk_value(chain, i));
  return ok ? out : NULL;
}

/* tlsStaple(fd): the OCSP answer that the server sent along, DER; undefined for none. */
static napi_value js_staple(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  void* answer = NULL;
  tls_conn* conn = only_conn(env, info);
  if (conn == NULL) return NULL;
  long length = tls.SSL_ctrl(conn->ssl, SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP, 0, &answer);
  if (answer != NULL && length > 0) return bytes_of(env, answer, (size_t)length);
  napi_get_undefined(env, &value);
  return value;
}

/* tlsSession(fd): what resumes this session in another connection; undefined while nothing does. */
static napi_value js_session(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  tls_conn* conn = only_conn(env, info);
  if (conn == NULL) return NULL;
  SSL_SESSION* session = tls.SSL_get1_session(conn->ssl);
  int length = 0;
  unsigned char* bytes = NULL;
  if (session != NULL && tls.SSL_SESSION_is_resumable(session) == 1)
    length = tls.i2d_SSL_SESSION(session, NULL);
  if (length > 0 && (bytes = malloc((size_t)length)) != NULL) {
    unsigned char* end = bytes;
    tls.i2d_SSL_SESSION(session, &end);
    value = bytes_of(env, bytes, (size_t)length);
    tls.OPENSSL_cleanse(bytes, (size_t)length);
    free(bytes);
  } else {
    napi_get_undefined(env, &value);
  }
  if (session != NULL) tls.SSL_SESSION_free(session);
  tls.ERR_clear_error();
  return value;
}

/* tlsResume(fd, session): offers it in the handshake. False when it is none. */
static napi_value js_resume(napi_env env, napi_callback_info info) {
  napi_value args[2], value;
  uint8_t* bytes;
  size_t length;
  if (!get_args(env, info, 2, args)) return NULL;
  if (!get_bytes(env, args[1], "session", &bytes, &length)) return NULL;
  tls_conn* conn = conn_of(env, args[0]);
  if (conn == NULL) return NULL;
  const unsigned char* at = bytes;
  SSL_SESSION* session =
      length > INT32_MAX ? NULL : tls.d2i_SSL_SESSION(NULL, &at, (long)length);
  bool ok = session != NULL && tls.SSL_set_session(conn->ssl, session) == 1;
  if (session != NULL) tls.SSL_SESSION_free(session);
  tls.ERR_clear_error();
  napi_get_boolean(env, ok, &value);
  return value;
}

enum { ASK_NAME, CHECK_HOST, CHECK_IP, ASK_STAPLE };

static bool tell(tls_conn* conn, int what, char* text) {
  SSL* ssl = conn->ssl;
  if (what == ASK_NAME) return tls.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, text) == 1;
  if (what == ASK_STAPLE)
    return tls.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, TLSEXT_STATUSTYPE_OCSP, NULL) == 1;
  void* param = tls.SSL_get0_param(ssl);
  if (what == CHECK_IP) return tls.X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1;
  tls.X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return tls.X509_VERIFY_PARAM_set1_host(param, text, 0) == 1;
}

/* tlsAsk(fd, what, text): the name to ask for, the name or address that the certificate must have. */
static napi_value js_ask(napi_env env, napi_callback_info info) {
  napi_value args[3], value;
  int32_t what;
  char text[512];
  size_t length = 0;
  if (!get_args(env, info, 3, args)) return NULL;
  tls_conn* conn = conn_of(env, args[0]);
  if (conn == NULL || !get_int(env, args[1], "what", &what)) return NULL;
  if (napi_get_value_string_utf8(env, args[2], text, sizeof text, &length) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "text must be a string");
    return NULL;
  }
  if (what < ASK_NAME || what > ASK_STAPLE || length == sizeof text - 1 ||
      strlen(text) != length) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "no such thing to ask, or no such name");
    return NULL;
  }
  bool ok = tell(conn, what, text);
  tls.ERR_clear_error();
  napi_get_boolean(env, ok, &value);
  return value;
}

/* tlsKeylog(fd): the lines that came up since the last call; undefined for none. */
static napi_value js_keylog(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  tls_conn* conn = only_conn(env, info);
  if (conn == NULL) return NULL;
  if (conn->keylog == NULL) napi_get_undefined(env, &value);
  else napi_create_string_latin1(env, conn->keylog, NAPI_AUTO_LENGTH, &value);
  free(conn->keylog);
  conn->keylog = NULL;
  return value;
}

napi_status tls_facts_init(napi_env env, napi_value exports) {
  static const napi_property_descriptor list[] = {
      FUNCTION("tlsFacts", js_facts),
      FUNCTION("tlsHello", js_hello),
      FUNCTION("tlsFailure", js_failure),
      FUNCTION("tlsContextFailure", js_context_failure),
      FUNCTION("tlsPeerCertificates", js_peer_certificates),
      FUNCTION("tlsStaple", js_staple),
      FUNCTION("tlsSession", js_session),
      FUNCTION("tlsResume", js_resume),
      FUNCTION("tlsAsk", js_ask),
      FUNCTION("tlsKeylog", js_keylog),
  };
  return define_functions(env, exports, list, sizeof list / sizeof list[0]);
}
