/**
 * framework_apps.ts: one small program, written for each framework that stands on node:http. They have the
 * same routes, so that the same requests can be made of all of them:
 *
 *   GET /            text         GET /user/:name  a parameter    GET /json     an object
 *   POST /json       the object   POST /form       its fields     POST /echo    what comes, as it comes
 *   GET /error       throws       GET /stream      three parts    GET /file     this source, to be saved
 *   GET /cookie      two cookies  GET /redirect    to /           POST /count   how many bytes came
 */
import { createReadStream } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import express from "express";
import fastify from "fastify";
import Koa from "koa";

export const FILE = fileURLToPath(import.meta.url);

/** Makes the program's server; it does not listen yet. */
export type MakeServer = () => Promise<Server>;

function parts(): Readable {
  return Readable.from(["one,", "two,", "three"]);
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  try {
    for await (const part of request) all.push(part);
  } catch {
    // The client has gone: nobody is left to be answered.
  }
  return Buffer.concat(all);
}

const fieldsOf = (text: string): object => Object.fromEntries(new URLSearchParams(text));

const raw: RequestListener = async (request, response) => {
  const { method, url, headers, rawHeaders, httpVersion } = request;
  if (url === "/stream") parts().pipe(response);
  else if (url === "/echo") request.pipe(response);
  else if (url === "/204") response.writeHead(204).end();
  else if (url === "/304") response.writeHead(304, { etag: "x" }).end();
  else if (url === "/close") response.writeHead(200, { connection: "close" }).end("closing");
  else if (url === "/length") response.writeHead(200, { "content-length": 4 }).end("four");
  else if (url === "/phrase") response.writeHead(299, "Fine").end("x");
  else if (url === "/hints") {
    response.writeEarlyHints({ link: "</a.css>; rel=preload" });
    response.writeProcessing();
    response.end("hinted");
  } else if (url === "/trailers") {
    response.writeHead(200, { trailer: "x-sum" });
    response.write("body");
    response.addTrailers({ "x-sum": "4" });
    response.end();
  } else if (url === "/file") createReadStream(FILE).pipe(response);
  else if (url === "/large") response.end("x".repeat(1_000_000));
  else if (url === "/ignore") response.end("not read");
  else if (url === "/destroy") request.socket.destroy();
  else if (url === "/half") {
    response.writeHead(200, { "content-length": 10 });
    response.write("half", () => request.socket.destroySoon());
  } else {
    const body = String(await bodyOf(request));
    const { trailers } = request;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ method, url, httpVersion, headers, rawHeaders, body, trailers }));
  }
};

async function plain(): Promise<Server> {
  return createServer(raw);
}

async function expressApp(): Promise<Server> {
  const app = express();
  app.use(express.json(), express.urlencoded());
  app.get("/", (_, response) => void response.send("hello"));
  app.get("/user/:name", (request, response) => void response.send(request.params.name));
  app.get("/json", (request, response) => void response.json({ ip: request.ip, hi: true }));
  app.post(["/json", "/form"], (request, response) => void response.json(request.body));
  app.post("/echo", (request, response) => void request.pipe(response));
  app.post("/count", async (request, response) => {
    response.send(String((await bodyOf(request)).length));
  });
  app.get("/error", () => {
    throw Object.assign(new Error("told to"), { expose: false, stack: "no stack" });
  });
  app.get("/stream", (_, response) => void parts().pipe(response));
  app.get("/file", (_, response) => response.download(FILE));
  app.get("/cookie", (_, response) => void response.cookie("a", "1").cookie("b", "2").end());
  app.get("/redirect", (_, response) => response.redirect("/"));
  app.set("env", "test");
  return createServer(app);
}

async function koaApp(): Promise<Server> {
  const app = new Koa();
  app.silent = true;
  app.use(async (ctx) => {
    const { method, path } = ctx;
    if (path === "/") ctx.body = "hello";
    else if (path.startsWith("/user/")) ctx.body = path.slice(6);
    else if (path === "/json" && method === "GET") ctx.body = { ip: ctx.ip, hi: true };
    else if (path === "/json") ctx.body = JSON.parse(String(await bodyOf(ctx.req)));
    else if (path === "/form") ctx.body = fieldsOf(String(await bodyOf(ctx.req)));
    else if (path === "/count") ctx.body = String((await bodyOf(ctx.req)).length);
    else if (path === "/echo") ctx.body = ctx.req;
    else if (path === "/error") throw new Error("told to");
    else if (path === "/stream") ctx.body = parts();
    else if (path === "/redirect") ctx.redirect("/");
    else if (path === "/cookie") {
      ctx.cookies.set("a", "1");
      ctx.cookies.set("b", "2");
      ctx.body = "";
    } else if (path === "/file") {
      ctx.attachment(FILE);
      ctx.body = createReadStream(FILE);
    }
  });
  return createServer(app.callback());
}

async function fastifyApp(): Promise<Server> {
  const app = fastify();
  const keep = { parseAs: "string" } as const;
  app.addContentTypeParser("application/x-www-form-urlencoded", keep, (_, text, done) => {
    done(null, fieldsOf(String(text)));
  });
  app.addContentTypeParser("*", (_: unknown, payload: IncomingMessage, done) => {
    done(null, payload);
  });
  app.get("/", async () => "hello");
  app.get<{ Params: { name: string } }>("/user/:name", async ({ params }) => params.name);
  app.get("/json", async ({ ip }) => ({ ip, hi: true }));
  for (const path of ["/json", "/form"]) app.post(path, async ({ body }) => body);
  app.post("/echo", (request, reply) => reply.send(request.body));
  app.post("/count", async ({ body }) => String((await bodyOf(body as Readable)).length));
  app.get("/error", async () => {
    throw new Error("told to");
  });
  app.get("/stream", (_, reply) => reply.send(parts()));
  app.get("/file", (_, reply) =>
    reply.header("content-disposition", "attachment").send(createReadStream(FILE)),
  );
  app.get("/cookie", (_, reply) => reply.header("set-cookie", ["a=1", "b=2"]).send(""));
  app.get("/redirect", (_, reply) => reply.redirect("/"));
  await app.ready();
  return app.server;
}

export const APPS: Readonly<Record<string, MakeServer>> = {
  "node:http": plain,
  "Express 5": expressApp,
  "Koa 3": koaApp,
  "Fastify 5": fastifyApp,
};
