/** http_client.ts: a client that sends bytes as they are and takes responses apart, for tests of servers. */
import { BufReader, type Conn, dial } from "../src/index.ts";

export interface RawResponse {
  status: number;
  phrase: string;
  /** Names in lower case. */
  headers: Map<string, string>;
  body: string;
  trailers: string[];
}

/** One connection to a server. */
export class RawClient implements AsyncDisposable {
  readonly conn: Conn;
  readonly reader: BufReader;

  constructor(conn: Conn) {
    this.conn = conn;
    this.reader = new BufReader(conn);
  }

  static async to(address: unknown): Promise<RawClient> {
    return new RawClient(await dial("tcp", String(address)));
  }

  async send(latin1: string): Promise<void> {
    await this.conn.write(Buffer.from(latin1, "latin1"));
  }

  /** The next response; undefined when the server has ended the connection. */
  async response(method = "GET"): Promise<RawResponse | undefined> {
    const first = await this.line();
    if (first === undefined) return undefined;
    const [, status, phrase] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(first) ?? [];
    if (status === undefined) throw new Error(`no status line: ${JSON.stringify(first)}`);
    const headers = new Map<string, string>();
    for (let line = await this.line(); line !== ""; line = await this.line()) {
      const [, name, value] = /^([^:]+): ?(.*)$/.exec(line ?? "") ?? [];
      if (name === undefined) throw new Error(`no header: ${JSON.stringify(line)}`);
      headers.set(name.toLowerCase(), value as string);
    }
    const message = { status: Number(status), phrase: phrase as string, headers, trailers: [] };
    return { ...message, body: await this.body(method, message, headers) };
  }

  private async body(
    method: string,
    { status, trailers }: { status: number; trailers: string[] },
    headers: Map<string, string>,
  ): Promise<string> {
    if (method === "HEAD" || status < 200 || status === 204 || status === 304) return "";
    const length = headers.get("content-length");
    if (length !== undefined) return await this.exactly(Number(length));
    if (headers.get("transfer-encoding") !== "chunked") return await this.rest();
    let body = "";
    for (;;) {
      const size = Number.parseInt((await this.line()) as string, 16);
      if (size === 0) break;
      body += await this.exactly(size);
      if ((await this.line()) !== "") throw new Error("no line end behind a chunk");
    }
    for (let line = await this.line(); line !== ""; line = await this.line()) {
      trailers.push(line as string);
    }
    return body;
  }

  /** Every response until the server ends the connection. */
  async responses(): Promise<RawResponse[]> {
    const all: RawResponse[] = [];
    for (;;) {
      const response = await this.response();
      if (response === undefined) return all;
      all.push(response);
    }
  }

  /** What is left, as latin1. */
  async rest(): Promise<string> {
    const parts: Uint8Array[] = [];
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const n = await this.reader.read(buffer);
      if (n === null) return Buffer.concat(parts).toString("latin1");
      parts.push(buffer.slice(0, n));
    }
  }

  /** The next n bytes, as latin1. */
  async exactly(n: number): Promise<string> {
    const buffer = new Uint8Array(n);
    let at = 0;
    while (at < n) {
      const read = await this.reader.read(buffer.subarray(at));
      if (read === null) throw new Error(`the body ended after ${at} of ${n} bytes`);
      at += read;
    }
    return Buffer.from(buffer).toString("latin1");
  }

  private async line(): Promise<string | undefined> {
    const line = await this.reader.readLine();
    return line === null ? undefined : String(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.conn.close();
  }
}
