// Responses of the platform's class: what is there at once is sent with its length, the rest as it comes.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromPlatform } from "./foreign.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a response of the platform", () => {
  for (const body of [
    "text",
    "",
    Uint8Array.of(1, 2),
    new Blob(["blob"]),
    new URLSearchParams("a=b"),
  ]) {
    it(`whose body was whole is whole: ${String(body)}`, async () => {
      const wanted = new Uint8Array(await new Response(body).arrayBuffer());
      const response = await fromPlatform(new Response(body, { status: 201 }));
      assert.equal(response.status, 201);
      // A blob is read elsewhere, which takes its time.
      if (!(body instanceof Blob)) assert.ok(response.source instanceof Uint8Array);
      assert.deepEqual(new Uint8Array(await response.arrayBuffer()), wanted);
    });
  }

  it("without a body has none", async () => {
    assert.equal((await fromPlatform(new Response(null, { status: 204 }))).source, null);
  });

  it("whose body is still to come is not waited for", async () => {
    let send: ReadableStreamDefaultController<Uint8Array> | undefined;
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        send = controller;
        controller.enqueue(bytes("a"));
      },
    });
    const response = await fromPlatform(new Response(stream));
    assert.ok(response.source instanceof ReadableStream);
    const text = response.text();
    send?.enqueue(bytes("b"));
    send?.close();
    assert.equal(await text, "ab");
  });

  it("of many parts keeps their order", async () => {
    const parts = Array.from({ length: 20 }, (_, i) => `${i},`);
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        const part = parts.shift();
        if (part === undefined) controller.close();
        else controller.enqueue(bytes(part));
      },
    });
    const wanted = parts.join("");
    assert.equal(await (await fromPlatform(new Response(stream))).text(), wanted);
  });

  it("that fails, fails whoever reads it, and nobody else", async () => {
    const failing = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new Error("broken"));
      },
    });
    const response = await fromPlatform(new Response(failing));
    await assert.rejects(response.text(), /broken/);
  });

  it("that nobody wants is canceled", async () => {
    let canceled: unknown;
    const stream = new ReadableStream<Uint8Array>({
      cancel(reason) {
        canceled = reason;
      },
    });
    const response = await fromPlatform(new Response(stream));
    await response.body?.cancel("enough");
    assert.equal(canceled, "enough");
  });
});
