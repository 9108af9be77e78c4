// What a WebSocket endpoint does with frames, as data. The cases are those of the Autobahn test suite
// (sections 1 to 7, 9, 10, 12, 13; its numbers are the ids), the verdicts RFC 6455's.
import { deflateRawSync, constants as zlib } from "node:zlib";
import type { Frame } from "../testing/websocket_frames.ts";

export interface WebSocketCase {
  id: string;
  frames: readonly Frame[];
  /** What an endpoint that echoes sends back: "text …", "bytes …", "pong …", "close …". */
  expect: readonly string[];
  /** permessage-deflate is agreed on. */
  deflate?: boolean;
}

type Bytes = string | Uint8Array;

function bytesOf(data: Bytes): Uint8Array {
  return typeof data === "string" ? Buffer.from(data) : data;
}

function frame(opcode: number, data: Bytes = "", more: Partial<Frame> = {}): Frame {
  return { opcode, payload: bytesOf(data), ...more };
}

const text = (data: Bytes = "", more: Partial<Frame> = {}): Frame => frame(1, data, more);
const binary = (data: Bytes = "", more: Partial<Frame> = {}): Frame => frame(2, data, more);
const more = (data: Bytes = ""): Frame => frame(0, data, { fin: false });
const last = (data: Bytes = ""): Frame => frame(0, data);
const begin = (data: Bytes = ""): Frame => text(data, { fin: false });
const ping = (data: Bytes = ""): Frame => frame(9, data);
const pong = (data: Bytes = ""): Frame => frame(10, data);

function close(code?: number, reason: Bytes = ""): Frame {
  if (code === undefined) return frame(8);
  return frame(8, Buffer.concat([Uint8Array.of(code >> 8, code & 255), bytesOf(reason)]));
}

/** How what comes back is written down: long payloads by their length. */
export function told(kind: string, payload: Uint8Array): string {
  const said =
    payload.length > 40 ? `${payload.length} bytes` : Buffer.from(payload).toString("hex");
  return `${kind} ${said}`;
}

const says = (data: Bytes): string => told("text", bytesOf(data));
const sends = (data: Bytes): string => told("bytes", bytesOf(data));
const pongs = (data: Bytes = ""): string => told("pong", bytesOf(data));

const cases: WebSocketCase[] = [];

/** A case that goes well: the peer closes at the end. */
function fine(id: string, frames: readonly Frame[], ...expect: string[]): void {
  cases.push({ id, frames: [...frames, close(1000)], expect: [...expect, "close 1000"] });
}

/** A case that ends with a close frame of the endpoint's; what stands behind is not looked at. */
function ends(id: string, code: number | "", frames: readonly Frame[], ...expect: string[]): void {
  cases.push({ id, frames, expect: [...expect, `close ${code}`] });
}

// 1: framing
for (const [i, size] of [0, 125, 126, 127, 128, 65_535, 65_536].entries()) {
  fine(`1.1.${i + 1}`, [text("*".repeat(size))], says("*".repeat(size)));
  const bytes = new Uint8Array(size).fill(0xfe);
  fine(`1.2.${i + 1}`, [binary(bytes)], sends(bytes));
}

// 2: pings and pongs
const hello = "Hello, world!";
fine("2.1", [ping()], pongs());
fine("2.2", [ping(hello)], pongs(hello));
fine("2.3", [ping(Uint8Array.of(0, 255, 254, 253, 252, 251, 0, 255))], "pong 00fffefdfcfb00ff");
fine("2.4", [ping(new Uint8Array(125).fill(0xfe))], "pong 125 bytes");
ends("2.5", 1002, [ping(new Uint8Array(126).fill(0xfe))]);
fine("2.7", [pong()]);
fine("2.8", [pong("unsolicited pong payload")]);
fine("2.9", [pong("unsolicited pong payload"), ping("ping payload")], pongs("ping payload"));
const tenth = (i: number): string => `payload-${i}`;
const ten = Array.from({ length: 10 }, (_, i) => tenth(i));
fine("2.10", ten.map(ping), ...ten.map(pongs));

// 3: reserved bits
ends("3.1", 1002, [text(hello, { rsv: 1 })]);
ends("3.2", 1002, [text(hello), text(hello, { rsv: 2 }), ping()], says(hello));
ends("3.3", 1002, [text(hello), text(hello, { rsv: 3 }), ping()], says(hello));
ends("3.4", 1002, [text(hello), text(hello, { rsv: 4 }), ping()], says(hello));
ends("3.5", 1002, [binary(hello, { rsv: 5 })]);
ends("3.6", 1002, [frame(9, hello, { rsv: 6 })]);
ends("3.7", 1002, [frame(8, "", { rsv: 7 })]);

// 4: opcodes
for (const [i, opcode] of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].entries()) {
  const id = `4.${i < 5 ? 1 : 2}.${(i % 5) + 1}`;
  const empty = i % 5 === 0 || i % 5 === 2 ? "" : hello;
  if (i % 5 < 2) ends(id, 1002, [frame(opcode, empty)]);
  else ends(id, 1002, [text(hello), frame(opcode, empty), ping()], says(hello));
}

// 5: fragments
const [f1, f2, f3, f4, f5] = ["fragment1", "fragment2", "fragment3", "fragment4", "fragment5"];
ends("5.1", 1002, [frame(9, f1, { fin: false }), last(f2)]);
ends("5.2", 1002, [frame(10, f1, { fin: false }), last(f2)]);
fine("5.3", [begin(f1), last(f2)], says(f1 + f2));
fine("5.6", [begin(f1), ping("ping"), last(f2)], pongs("ping"), says(f1 + f2));
ends("5.9", 1002, [last("non-continuation payload"), text(hello)]);
ends("5.12", 1002, [more("non-continuation payload"), text(hello)]);
ends("5.15", 1002, [begin(f1), last(f2), more(f3), text(f4)], says(f1 + f2));
ends("5.16", 1002, [more(f1), begin(f2), last(f3)]);
ends("5.17", 1002, [last(f1), begin(f2), last(f3)]);
ends("5.18", 1002, [begin(f1), text(f2)]);
fine(
  "5.19",
  [begin(f1), more(f2), ping("1"), more(f3), more(f4), ping("2"), last(f5)],
  pongs("1"),
  pongs("2"),
  says(f1 + f2 + f3 + f4 + f5),
);

// 6: UTF-8
fine("6.1.1", [text()], says(""));
fine("6.1.2", [begin(), more(), last()], says(""));
fine("6.1.3", [begin(), more("middle frame payload"), last()], says("middle frame payload"));
const utf8 = "Hello-µ@ßöäüàá-UTF-8!!";
fine("6.2.1", [text(utf8)], says(utf8));
fine("6.2.2", [begin(utf8.slice(0, 8)), last(utf8.slice(8))], says(utf8));
fine("6.2.3", octets(Buffer.from(utf8)), says(utf8));
const greek = "\u03ba\u1f79\u03c3\u03bc\u03b5";
fine("6.2.4", [text(greek)], says(greek));
const broken = Buffer.from("cebae1bdb9cf83cebcceb5eda080656469746564", "hex");
ends("6.3.1", 1007, [text(broken)]);
ends("6.3.2", 1007, octets(broken));
const tooHigh = Buffer.from("cebae1bdb9cf83cebcceb5f4908080656469746564", "hex");
ends("6.4.1", 1007, [begin(tooHigh.subarray(0, 12)), last(tooHigh.subarray(12))]);
ends("6.4.2", 1007, [begin(tooHigh.subarray(0, 13)), last(tooHigh.subarray(13))]);

const VALID = [
  ["6.5.1", "68656c6c6f24776f726c64"],
  ["6.5.2", "68656c6c6fc2a2776f726c64"],
  ["6.5.3", "68656c6c6fe282ac776f726c64"],
  ["6.5.4", "68656c6c6ff0a4ada2776f726c64"],
  ["6.6.2", "ceba"],
  ["6.6.5", "cebae1bdb9"],
  ["6.6.11", "cebae1bdb9cf83cebcceb5"],
  ["6.7.1", "00"],
  ["6.7.2", "c280"],
  ["6.7.3", "e0a080"],
  ["6.7.4", "f0908080"],
  ["6.9.1", "7f"],
  ["6.9.2", "dfbf"],
  ["6.9.3", "efbfbf"],
  ["6.9.4", "f48fbfbf"],
  ["6.11.1", "ed9fbf"],
  ["6.11.2", "ee8080"],
  ["6.11.3", "efbfbd"],
  ["6.11.4", "f48fbfbf"],
  ["6.22.1", "efbfbe"],
  ["6.22.2", "efbfbf"],
  ["6.22.3", "f09fbfbe"],
  ["6.22.34", "f48fbfbf"],
];
const INVALID = [
  ["6.6.1", "ce"],
  ["6.6.3", "cebae1"],
  ["6.6.4", "cebae1bd"],
  ["6.6.6", "cebae1bdb9cf"],
  ["6.6.8", "cebae1bdb9cf83ce"],
  ["6.6.10", "cebae1bdb9cf83cebcce"],
  ["6.8.1", "f888808080"],
  ["6.8.2", "fc8480808080"],
  ["6.10.1", "f7bfbfbf"],
  ["6.10.2", "fbbfbfbfbf"],
  ["6.10.3", "fdbfbfbfbfbf"],
  ["6.11.5", "f4908080"],
  ["6.12.1", "80"],
  ["6.12.2", "bf"],
  ["6.12.3", "80bf"],
  ["6.12.4", "80bf80"],
  ["6.12.8", `${"80".repeat(0x3f)}`],
  ["6.13.1", "c020c120c220c320"],
  ["6.13.2", "e020e120e220e320"],
  ["6.13.3", "f020f120f220f320"],
  ["6.13.4", "f820f920fa20"],
  ["6.13.5", "fc20"],
  ["6.14.1", "c0"],
  ["6.14.2", "e080"],
  ["6.14.3", "f08080"],
  ["6.14.4", "f8808080"],
  ["6.14.5", "fc80808080"],
  ["6.14.6", "df"],
  ["6.14.7", "efbf"],
  ["6.14.8", "f7bfbf"],
  ["6.14.9", "fbbfbfbf"],
  ["6.14.10", "fdbfbfbfbf"],
  ["6.15.1", "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf"],
  ["6.16.1", "fe"],
  ["6.16.2", "ff"],
  ["6.16.3", "fefeffff"],
  ["6.17.1", "c0af"],
  ["6.17.2", "e080af"],
  ["6.17.3", "f08080af"],
  ["6.17.4", "f8808080af"],
  ["6.17.5", "fc80808080af"],
  ["6.18.1", "c1bf"],
  ["6.18.2", "e09fbf"],
  ["6.18.3", "f08fbfbf"],
  ["6.18.4", "f887bfbfbf"],
  ["6.18.5", "fc83bfbfbfbf"],
  ["6.19.1", "c080"],
  ["6.19.2", "e08080"],
  ["6.19.3", "f0808080"],
  ["6.19.4", "f880808080"],
  ["6.19.5", "fc8080808080"],
  ["6.20.1", "eda080"],
  ["6.20.2", "edadbf"],
  ["6.20.3", "edae80"],
  ["6.20.4", "edafbf"],
  ["6.20.5", "edb080"],
  ["6.20.6", "edbe80"],
  ["6.20.7", "edbfbf"],
  ["6.21.1", "eda080edb080"],
  ["6.21.2", "eda080edbfbf"],
  ["6.21.3", "edadbfedb080"],
  ["6.21.4", "edadbfedbfbf"],
  ["6.21.5", "edae80edb080"],
  ["6.21.6", "edae80edbfbf"],
  ["6.21.7", "edafbfedb080"],
  ["6.21.8", "edafbfedbfbf"],
];
for (const [id, hex] of VALID as [string, string][]) {
  const payload = Buffer.from(hex, "hex");
  fine(id, [text(payload)], says(payload));
  fine(`${id} in octets`, octets(payload), says(payload));
}
for (const [id, hex] of INVALID as [string, string][]) {
  ends(id, 1007, [text(Buffer.from(hex, "hex"))]);
  ends(`${id} in octets`, 1007, octets(Buffer.from(hex, "hex")));
}

/** A text in fragments of one byte. */
function octets(bytes: Uint8Array): Frame[] {
  const parts = [...bytes].map((byte) => more(Uint8Array.of(byte)));
  return [begin(parts[0]?.payload), ...parts.slice(1), last()];
}

// 7: closing
ends("7.1.1", 1000, [text("Hello World!"), close(1000)], says("Hello World!"));
ends("7.1.2", 1000, [close(1000), close(1000)]);
ends("7.1.3", 1000, [close(1000), ping()]);
ends("7.1.4", 1000, [close(1000), text("Hello World!")]);
ends("7.1.5", 1000, [begin(f1), close(1000), last(f2)]);
const bash = "BAsd7&jh23".repeat(26_215);
ends("7.1.6", 1000, [text(bash), close(1000), ping()], says(bash));
ends("7.3.1", "", [close()]);
ends("7.3.2", 1002, [frame(8, "a")]);
ends("7.3.3", 1000, [close(1000)]);
ends("7.3.4", 1000, [close(1000, hello)]);
ends("7.3.5", 1000, [close(1000, "*".repeat(123))]);
ends("7.3.6", 1002, [close(1000, "*".repeat(124))]);
ends("7.5.1", 1007, [close(1000, broken)]);
const GOOD = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
for (const [i, code] of GOOD.entries()) {
  ends(`7.7.${i + 1}`, code, [close(code)]);
  ends(`7.7.${i + 1} with a reason`, code, [close(code, "why not")]);
}
for (const [i, code] of [
  0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535,
].entries()) {
  ends(`7.9.${i + 1}`, 1002, [close(code)]);
  ends(`7.9.${i + 1} with a reason`, 1002, [close(code, "why not")]);
}

// What Autobahn leaves to the side it tests: masks, and lengths that cannot be.
ends("no frame of a client is unmasked, none of a server's masked", 1002, [
  text(hello, { masked: false }),
]);
ends("a length of 2^53 bytes and more", 1009, [text("", { length: 2 ** 53 })]);

// 9: limits, in small
for (const size of [65_536, 262_144, 1_048_576]) {
  fine(`9.1, ${size} bytes`, [text("*".repeat(size))], says("*".repeat(size)));
  const bytes = new Uint8Array(size).fill(0xfe);
  fine(`9.2, ${size} bytes`, [binary(bytes)], sends(bytes));
}
for (const size of [64, 256, 1024, 65_536]) {
  const parts = Array.from({ length: 262_144 / size }, () => more("*".repeat(size)));
  const whole = [begin(parts[0]?.payload), ...parts.slice(1), last()];
  fine(`9.3, fragments of ${size} bytes`, whole, "text 262144 bytes");
}
fine(
  "9.7, 500 messages",
  Array.from({ length: 500 }, () => text("*".repeat(16))),
  ...Array.from({ length: 500 }, () => says("*".repeat(16))),
);
ends("9.9, beyond the limit", 1009, [binary(new Uint8Array(0), { length: 2 ** 21 + 1 })]);
ends("9.9, beyond the limit in fragments", 1009, [
  binary(new Uint8Array(2 ** 20), { fin: false }),
  more(new Uint8Array(2 ** 20)),
  last("*"),
]);

// 10: messages that a network takes apart: see how they are delivered.
fine("10.1.1", [text("*".repeat(65_536))], "text 65536 bytes");

// 12, 13: compression

/** A compressed message by itself: one that keeps no context. */
function squeezed(data: Bytes): Uint8Array {
  const whole = deflateRawSync(bytesOf(data), { finishFlush: zlib.Z_SYNC_FLUSH });
  return whole.subarray(0, whole.length - 4);
}

function deflated(id: string, frames: readonly Frame[], ...expect: string[]): void {
  cases.push({ id, frames, expect, deflate: true });
}

const json = JSON.stringify({ name: "Coronet", values: Array.from({ length: 300 }, (_, i) => i) });
for (const [i, size] of [
  16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072,
].entries()) {
  const message = json.repeat(Math.ceil(size / json.length)).slice(0, size);
  const squeezing = text(squeezed(message), { rsv: 4 });
  deflated(
    `12.1.${i + 1}`,
    [squeezing, squeezing, close(1000)],
    says(message),
    says(message),
    "close 1000",
  );
  const half = squeezing.payload.length >> 1;
  deflated(
    `13.1.${i + 1}, in two frames`,
    [
      text(squeezing.payload.subarray(0, half), { rsv: 4, fin: false }),
      ping("between"),
      last(squeezing.payload.subarray(half)),
      close(1000),
    ],
    pongs("between"),
    says(message),
    "close 1000",
  );
}
deflated(
  "12, a message that is not compressed",
  [text(hello), close(1000)],
  says(hello),
  "close 1000",
);
deflated(
  "12, an empty message",
  [text(Uint8Array.of(0), { rsv: 4 }), close(1000)],
  "text ",
  "close 1000",
);
deflated(
  "12, what zlib does not take",
  [text(Uint8Array.of(255, 255, 255), { rsv: 4 })],
  "close 1007",
);
deflated("12, bytes that are no text", [text(squeezed(broken), { rsv: 4 })], "close 1007");
deflated(
  "12, a continuation that says it is compressed",
  [text(squeezed(hello), { rsv: 4, fin: false }), frame(0, "", { rsv: 4 })],
  "close 1002",
);
deflated("12, a ping that says it is compressed", [frame(9, "", { rsv: 4 })], "close 1002");
deflated(
  "12, little that becomes too much",
  [binary(squeezed(new Uint8Array(2 ** 21 + 1)), { rsv: 4 })],
  "close 1009",
);

/** The largest message that the tested endpoint takes. */
export const MAX_PAYLOAD = 2 ** 21;

export { cases };
