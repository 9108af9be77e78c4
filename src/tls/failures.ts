/**
 * failures.ts: what went wrong in TLS, in words, with a code as Node has them and what to do about it.
 */
import { NetError, type NetErrorInit } from "../net/errors.ts";
import { DEADLINE, errorName, errorText, TLS_FAILED, TLS_TRUNCATED } from "../syscall/errno.ts";
import type { Failure } from "./tls_fd.ts";

/** Results of verifying a certificate (x509_vfy.h): Node's code, and what to do. */
const VERIFY: Record<number, [code: string, hint?: string]> = {
  2: ["UNABLE_TO_GET_ISSUER_CERT"],
  7: ["CERT_SIGNATURE_FAILURE"],
  9: ["CERT_NOT_YET_VALID", "check this machine's clock"],
  10: ["CERT_HAS_EXPIRED", "the peer has to renew its certificate; check this machine's clock"],
  18: [
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "the peer signed its certificate itself: trust that very certificate with the option ca",
  ],
  19: [
    "SELF_SIGNED_CERT_IN_CHAIN",
    "the peer's authority is not among those trusted: add it with the option ca",
  ],
  20: [
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "nobody trusted here has issued it: add the authority with the option ca, or have the peer send " +
      "its intermediate certificates",
  ],
  21: ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "the peer has to send its intermediate certificates"],
  22: ["CERT_CHAIN_TOO_LONG"],
  23: ["CERT_REVOKED"],
  24: ["INVALID_CA"],
  25: ["PATH_LENGTH_EXCEEDED"],
  26: ["INVALID_PURPOSE"],
  27: ["CERT_UNTRUSTED"],
  28: ["CERT_REJECTED"],
  62: ["ERR_TLS_CERT_ALTNAME_INVALID"],
  64: ["ERR_TLS_CERT_ALTNAME_INVALID"],
};

/** Reasons of OpenSSL that can be said more plainly, or that there is something to do about. */
const HINTS: Record<string, string> = {
  "wrong version number": "the peer does not speak TLS there",
  "http request": "the client speaks HTTP without TLS",
  "unsupported protocol": "the peer's versions of TLS are too old: see minVersion",
  "no shared cipher": "see ciphers, and whether the key's type fits what the client offers",
  "no application protocol": "no protocol of ALPNProtocols is among those that the client offers",
  "peer did not return a certificate": "the client has to send a certificate",
  "tlsv13 alert certificate required": "the server wants a certificate: see cert and key",
  "tlsv1 alert unknown ca": "the peer does not trust the authority of this side's certificate",
  "ssl/tls alert certificate unknown": "the peer does not accept this side's certificate",
  "tlsv1 unrecognized name": "the server has no certificate for this name: see servername",
  "tlsv1 alert protocol version": "the peer accepts none of this side's versions of TLS",
  "tlsv1 alert no application protocol": "the server knows none of ALPNProtocols",
};

const CUT =
  "the peer closed the connection without saying that nothing follows (close_notify): " +
  "the data may be cut off";
const CUT_IN_HANDSHAKE = "the peer closed the connection during the handshake";

/** What verifying a certificate came to, as Node calls it: "CERT_HAS_EXPIRED". */
export function verifyCode(result: number): string {
  return VERIFY[result]?.[0] ?? `CERT_ERROR_${result}`;
}

/** The code of a refusal by OpenSSL, as Node has it: ERR_SSL_WRONG_VERSION_NUMBER. */
export function codeOf(library: string | undefined, reason: string | undefined): string {
  const name = (reason ?? "unknown").replace(/\W+/g, "_").toUpperCase();
  return `${library === undefined || /ssl/i.test(library) ? "ERR_SSL" : "ERR_OSSL"}_${name}`;
}

interface Told {
  code: string;
  text: string;
  hint?: string | undefined;
}

function tell(failure: Failure, shaking: boolean, servername: string | undefined): Told {
  const { number, details } = failure;
  if (number === TLS_TRUNCATED) {
    return { code: errorName(number), text: shaking ? CUT_IN_HANDSHAKE : CUT };
  }
  if (number !== TLS_FAILED || details === undefined) {
    const text = number === DEADLINE ? "the handshake took too long" : errorText(number);
    return { code: errorName(number), text };
  }
  const [, library, reason, result, words] = details;
  if (result !== 0 && words !== undefined && reason === "certificate verify failed") {
    const [code, hint] = VERIFY[result] ?? [verifyCode(result)];
    const named = code === "ERR_TLS_CERT_ALTNAME_INVALID" && servername !== undefined;
    const advice = named ? `the certificate is not for "${servername}": see servername` : hint;
    return { code, text: `the peer's certificate was refused: ${words}`, hint: advice };
  }
  const text = reason ?? "OpenSSL gave no reason";
  return { code: codeOf(library, reason), text, hint: HINTS[text] };
}

/** The error of an operation that a failure of TLS has ended. */
export function failureError(
  failure: Failure,
  shaking: boolean,
  servername: string | undefined,
  init: Omit<NetErrorInit, "code" | "text">,
): NetError {
  return new NetError({
    ...init,
    ...tell(failure, shaking, servername),
    timeout: failure.number === DEADLINE,
    // What a peer does wrong is no defect of this program.
    endsGoroutine: init.op !== "dial",
    cause: failure.cause ?? init.cause,
  });
}
