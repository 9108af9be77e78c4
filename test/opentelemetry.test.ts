/**
 * opentelemetry.test.ts: spans of OpenTelemetry over Coronet: what docs/metrics.md recommends, and that the
 * active context is the right one across goroutines, requests and pooled connections.
 */
import assert from "node:assert/strict";
import { after, beforeEach, describe, test } from "node:test";
import {
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type TextMapPropagator,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { fetch, type Handler, Response, serve } from "../src/http/index.ts";
import { Chan, go, Mutex, sleep } from "../src/index.ts";

/** The W3C's traceparent, as @opentelemetry/core has it. */
const w3c: TextMapPropagator = {
  inject(ctx, carrier, setter) {
    const span = trace.getSpanContext(ctx);
    if (span === undefined) return;
    const flags = span.traceFlags.toString(16).padStart(2, "0");
    setter.set(carrier, "traceparent", `00-${span.traceId}-${span.spanId}-${flags}`);
  },
  extract(ctx, carrier, getter) {
    const value = getter.get(carrier, "traceparent");
    const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(String(value ?? ""));
    if (match === null) return ctx;
    const [, traceId = "", spanId = "", flags = ""] = match;
    return trace.setSpanContext(ctx, {
      traceId,
      spanId,
      traceFlags: Number.parseInt(flags, 16),
      isRemote: true,
    });
  },
  fields: () => ["traceparent"],
};

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(w3c);
const tracer = trace.getTracer("test");

/** A handler with a span for each request: the recipe of docs/metrics.md. */
function withSpans(handler: Handler): Handler {
  return async (request, info) => {
    const parent = propagation.extract(ROOT_CONTEXT, request.headers, {
      get: (headers, name) => headers.get(name) ?? undefined,
      keys: (headers) => [...headers.keys()],
    });
    const { pathname } = new URL(request.url);
    const options = { kind: SpanKind.SERVER, attributes: { "url.path": pathname } };
    const span = tracer.startSpan(request.method, options, parent);
    try {
      const response = await context.with(
        trace.setSpan(parent, span),
        handler,
        undefined,
        request,
        info,
      );
      span.setAttribute("http.response.status_code", response?.status ?? 101);
      return response;
    } catch (error) {
      span.recordException(error as Error);
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  };
}

/** fetch with a span, and the trace's header. */
function tracedFetch(url: string): ReturnType<typeof fetch> {
  return tracer.startActiveSpan("GET", { kind: SpanKind.CLIENT }, async (span) => {
    try {
      const headers: Record<string, string> = {};
      propagation.inject(context.active(), headers);
      return await fetch(url, { headers });
    } finally {
      span.end();
    }
  });
}

const activeId = (ctx: Context = context.active()) => trace.getSpanContext(ctx)?.spanId;
const named = (name: string): ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => span.name === name);

describe("OpenTelemetry", () => {
  beforeEach(() => exporter.reset());
  after(() => provider.shutdown());

  test("a goroutine is in the span of who started it, whoever wakes it", async () => {
    const chan = new Chan<number>();
    const mutex = new Mutex();
    const held = await mutex.lock();
    const seen = tracer.startActiveSpan("parent", (span) => {
      const g = go(async () => {
        const ids = [activeId()];
        await chan.receive();
        ids.push(activeId());
        using _ = await mutex.lock();
        ids.push(activeId());
        await sleep(1);
        ids.push(activeId());
        span.end();
        return ids.map((id) => id === span.spanContext().spanId);
      });
      return g.join();
    });
    await tracer.startActiveSpan("waker", async (span) => {
      await chan.send(1);
      held[Symbol.dispose]();
      assert.equal(activeId(), span.spanContext().spanId);
      span.end();
    });
    assert.deepEqual(await seen, [true, true, true, true]);
    assert.equal(activeId(), undefined);
  });

  test("one trace goes through a client, a server, its goroutines and the next server", async () => {
    await using back = await serve(
      "127.0.0.1:0",
      withSpans(async () => {
        await go(async () => {
          await sleep(1);
          tracer.startSpan("work").end();
        }).join();
        return new Response("done");
      }),
    );
    await using front = await serve(
      "127.0.0.1:0",
      withSpans(async () => new Response(await (await tracedFetch(`http://${back.addr}/`)).text())),
    );
    const traceId = await tracer.startActiveSpan("root", async (root) => {
      assert.equal(await (await tracedFetch(`http://${front.addr}/`)).text(), "done");
      root.end();
      return root.spanContext().traceId;
    });
    const spans = exporter.getFinishedSpans();
    assert.deepEqual(new Set(spans.map((span) => span.spanContext().traceId)), new Set([traceId]));
    const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]));
    const path: string[] = [];
    for (let span = named("work")[0]; span !== undefined; ) {
      path.push(`${span.name}${["", " server", " client"][span.kind] ?? ""}`);
      span = byId.get(span.parentSpanContext?.spanId ?? "");
    }
    assert.deepEqual(path, [
      "work",
      "GET server",
      "GET client",
      "GET server",
      "GET client",
      "root",
    ]);
  });

  test("requests of one kept connection, and many at once, have traces of their own", async () => {
    await using server = await serve(
      "127.0.0.1:0",
      withSpans(async (request) => {
        const before = activeId();
        await sleep(1);
        tracer.startSpan(new URL(request.url).pathname).end();
        return new Response(String(before === activeId()));
      }),
    );
    const url = `http://${server.addr}`;
    for (const path of ["/1", "/2"]) {
      assert.equal(await (await fetch(url + path)).text(), "true");
    }
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const done = await tracedFetch(`${url}/many${i}`);
        assert.equal(await done.text(), "true");
      }),
    );
    const traces = new Set(named("GET").map((span) => span.spanContext().traceId));
    assert.equal(traces.size, 22);
    for (const path of ["/1", "/2", "/many7"]) {
      const [inner] = named(path);
      const outer = exporter
        .getFinishedSpans()
        .find((span) => span.spanContext().spanId === inner?.parentSpanContext?.spanId);
      assert.equal(outer?.attributes["url.path"], path);
    }
  });
});
