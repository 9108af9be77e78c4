// The greeting of http_work.mjs in each framework, as what listens to requests of node:http; and Hono's.
import { createServer } from "node:http";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { HELLO } from "./http_work.mjs";

/** Each framework has an address of its own, the same port on 127.0.0.1, 127.0.0.2, …: its case asks there. */
export const hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];

export async function programs() {
  const koa = new Koa();
  koa.use((ctx) => {
    ctx.body = HELLO;
  });
  const fast = fastify();
  fast.get("/", async () => HELLO);
  await fast.ready();
  const app = express();
  app.get("/", (_, response) => response.send(HELLO));
  const plain = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/plain", "content-length": HELLO.length });
    response.end(HELLO);
  });
  return [plain, createServer(app), fast.server, createServer(koa.callback())];
}

export const hono = new Hono().get("/", (c) => c.text(HELLO));
