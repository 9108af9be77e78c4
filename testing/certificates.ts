/**
 * certificates.ts: certificates for tests, made on the spot: authorities, leaves, expired ones, wrong ones.
 *
 * X.509 in DER, written by hand (RFC 5280, X.690), since Node can read certificates but not make them.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP, isIPv4 } from "node:net";

/** A certificate and its key, in PEM; `cert` goes to those who shall trust it, too. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** @internal For signing with it. */
  readonly signer: { readonly name: Buffer; readonly key: KeyObject };
}

export interface CertificateOptions {
  /** Names and addresses that it is for; "*.example.com" is one. */
  names?: readonly string[];
  /** Of its subject; the first of names by default. */
  commonName?: string;
  /** Who signs it; itself by default. */
  issuer?: Certificate;
  /** True for an authority. */
  isCA?: boolean;
  notBefore?: Date;
  notAfter?: Date;
  /** "ec" (P-256) by default, which is quick to make. */
  type?: "ec" | "rsa";
}

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  if (length < 128) return Buffer.concat([Buffer.of(tag, length), body]);
  if (length < 256) return Buffer.concat([Buffer.of(tag, 0x81, length), body]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 255), body]);
}

const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts);
const explicit = (n: number, ...parts: Uint8Array[]): Buffer => der(0xa0 | n, ...parts);
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.of(0), bytes);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const yes = der(0x01, Buffer.of(255));

const OID = {
  commonName: "550403",
  ecdsaSha256: "2a8648ce3d040302",
  rsaSha256: "2a864886f70d01010b",
  basicConstraints: "551d13",
  keyUsage: "551d0f",
  altNames: "551d11",
};

function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x18, Buffer.from(text));
}

function nameOf(commonName: string): Buffer {
  const value = der(0x0c, Buffer.from(commonName));
  return sequence(der(0x31, sequence(oid(OID.commonName), value)));
}

function addressBytes(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split(".").map(Number));
  const [head = "", tail] = ip.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const middle = Array<number>(8 - first.length - last.length).fill(0);
  const words = tail === undefined ? first : [...first, ...middle, ...last];
  return Buffer.from(words.flatMap((word) => [word >> 8, word & 255]));
}

function altNames(names: readonly string[]): Buffer {
  return sequence(
    ...names.map((name) =>
      isIP(name) === 0 ? der(0x82, Buffer.from(name)) : der(0x87, addressBytes(name)),
    ),
  );
}

function extensions(names: readonly string[], isCA: boolean): Buffer {
  const all = [
    sequence(oid(OID.basicConstraints), yes, der(0x04, sequence(...(isCA ? [yes] : [])))),
    // keyCertSign and cRLSign, or digitalSignature and keyEncipherment.
    sequence(
      oid(OID.keyUsage),
      yes,
      der(0x04, isCA ? der(0x03, Buffer.of(1, 6)) : der(0x03, Buffer.of(5, 0xa0))),
    ),
  ];
  if (names.length > 0) all.push(sequence(oid(OID.altNames), der(0x04, altNames(names))));
  return explicit(3, sequence(...all));
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function keyPair(type: "ec" | "rsa"): { publicKey: KeyObject; privateKey: KeyObject } {
  if (type === "ec") return generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return generateKeyPairSync("rsa", { modulusLength: 2048 });
}

function signatureAlgorithm(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === "ec") return sequence(oid(OID.ecdsaSha256));
  return sequence(oid(OID.rsaSha256), der(0x05));
}

const DAY_MS = 86_400_000;

/**
 * Makes a certificate with a fresh key, for tests.
 *
 * @example
 * import { makeCertificate } from "coronet/testing";
 * import { X509Certificate } from "node:crypto";
 * const ca = makeCertificate({ commonName: "Test CA", isCA: true });
 * const leaf = makeCertificate({ names: ["example.com", "127.0.0.1"], issuer: ca });
 * console.log(new X509Certificate(leaf.cert).checkHost("example.com")); // example.com
 */
export function makeCertificate(options: CertificateOptions): Certificate {
  const { names = [], isCA = false, issuer, type = "ec" } = options;
  const name = nameOf(options.commonName ?? names[0] ?? "nobody");
  const { publicKey, privateKey } = keyPair(type);
  const signer = issuer?.signer ?? { name, key: privateKey };
  const algorithm = signatureAlgorithm(signer.key);
  const serial = randomBytes(9);
  serial[0] = 1;
  const body = sequence(
    explicit(0, der(0x02, Buffer.of(2))),
    der(0x02, serial),
    algorithm,
    signer.name,
    sequence(
      time(options.notBefore ?? new Date(Date.now() - DAY_MS)),
      time(options.notAfter ?? new Date(Date.now() + 30 * DAY_MS)),
    ),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    extensions(names, isCA),
  );
  const cert = pem(sequence(body, algorithm, bits(sign("sha256", body, signer.key))));
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { cert, key, signer: { name, key: privateKey } };
}

/** A certificate that signed itself, for the given names and addresses; clients trust it by `ca: cert`. */
export function selfSigned(...names: string[]): Certificate {
  return makeCertificate({ names });
}
