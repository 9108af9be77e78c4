// A pool over node:net as one writes it by hand: a queue of those who wait, a list of what is free,
// and lines out of data events.
import { connect } from "node:net";
import {
  address,
  CONNECTIONS,
  check,
  measureClient,
  PIPELINE,
  REQUEST,
  REQUESTS,
} from "./load.mjs";

const [host, port] = address.split(":");

class Connection {
  constructor() {
    this.lines = [];
    this.waiting = undefined;
    this.rest = "";
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text) => this.onData(text));
    this.socket.on("error", (error) => this.waiting?.reject(error));
  }

  onData(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) this.lines.push(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (this.waiting === undefined || this.lines.length === 0) return;
    const { resolve } = this.waiting;
    this.waiting = undefined;
    resolve(this.lines.shift());
  }

  readLine() {
    if (this.lines.length > 0) return Promise.resolve(this.lines.shift());
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }

  write(text) {
    if (this.socket.write(text)) return undefined;
    return new Promise((resolve) => this.socket.once("drain", resolve));
  }
}

class Pool {
  constructor(size) {
    this.size = size;
    this.live = 0;
    this.free = [];
    this.waiters = [];
  }

  acquire() {
    const connection = this.free.pop();
    if (connection !== undefined) return Promise.resolve(connection);
    if (this.live < this.size) {
      this.live++;
      return Promise.resolve(new Connection());
    }
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  release(connection) {
    const waiter = this.waiters.shift();
    if (waiter === undefined) this.free.push(connection);
    else waiter(connection);
  }
}

const pool = new Pool(CONNECTIONS);

async function request() {
  const connection = await pool.acquire();
  await connection.write(REQUEST);
  check(await connection.readLine());
  pool.release(connection);
}

async function pipeline() {
  const connection = await pool.acquire();
  await connection.write(REQUESTS);
  for (let i = 0; i < PIPELINE; i++) check(await connection.readLine());
  pool.release(connection);
}

await measureClient(request, pipeline);
