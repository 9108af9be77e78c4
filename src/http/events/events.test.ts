// The text of events, and what is read from it (HTML standard, 9.2.6).
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Response } from "../response.ts";
import { EventParser, events, type ReceivedEvent } from "./events.ts";
import { eventStream, eventText, type ServerSentEvent } from "./stream.ts";

function parsed(...parts: string[]): ReceivedEvent[] {
  const parser = new EventParser();
  return parts.flatMap((part) => [...parser.parse(part)]);
}

const plain = { event: "message", id: "", retry: undefined };

/** Streams as the standard's examples have them, and what is to come of them. */
const STREAMS: [string, Partial<ReceivedEvent>[]][] = [
  ["data: YHOO\ndata: +2\ndata: 10\n\n", [{ data: "YHOO\n+2\n10" }]],
  [
    ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    [{ data: "first event", id: "1" }, { data: "second event" }, { data: " third event" }],
  ],
  ["data\n\ndata\ndata\n\ndata:", [{ data: "" }, { data: "\n" }]],
  ["data:test\n\ndata: test\n\n", [{ data: "test" }, { data: "test" }]],
  ["data: a\r\n\r\ndata: b\r\rdata: c\n\n", [{ data: "a" }, { data: "b" }, { data: "c" }]],
  ["event: add\ndata: 1\n\ndata: 2\n\n", [{ event: "add", data: "1" }, { data: "2" }]],
  ["event: lost\n\ndata: 1\n\n", [{ data: "1" }]],
  ["id: 1\n\ndata: x\n\n", [{ data: "x", id: "1" }]],
  ["id: a\0b\ndata: x\n\n", [{ data: "x" }]],
  ["retry: 1500\nretry: no\nretry: 1.5\ndata: x\n\n", [{ data: "x", retry: 1500 }]],
  ["Data: x\nother: y\n data: z\ndata: :\n\n", [{ data: ":" }]],
  ["data: cut off", []],
];

describe("streams of events", () => {
  it("mean what the standard says, wherever they are cut", () => {
    for (const [stream, expected] of STREAMS) {
      const whole = expected.map((event) => ({ ...plain, ...event }));
      assert.deepEqual(parsed(stream), whole, JSON.stringify(stream));
      assert.deepEqual(parsed(...stream), whole, `${JSON.stringify(stream)}, by character`);
      assert.deepEqual(parsed(...stream.split(/(?<=\n)/)), whole);
    }
  });

  it("come out as they went in", async () => {
    const sent: (ServerSentEvent | string)[] = [
      "one",
      "",
      "with\nmany\r\nlines\r",
      { data: " space", event: "kind", id: "né", retry: 5, comment: "not\nseen" },
      { comment: "nothing but this" },
      { data: "😀".repeat(1000) },
    ];
    const got: ReceivedEvent[] = [];
    for await (const event of events(eventStream(sent))) got.push(event);
    assert.deepEqual(got, [
      { ...plain, data: "one" },
      { ...plain, data: "" },
      { ...plain, data: "with\nmany\nlines\n" },
      { event: "kind", data: " space", id: "né", retry: 5 },
      { event: "message", data: "😀".repeat(1000), id: "né", retry: 5 },
    ]);
  });

  it("are decoded across chunks, without a byte order mark", async () => {
    const bytes = Buffer.from("\ufeffdata: é😀\n\n");
    async function* octets() {
      for (const byte of bytes) yield Uint8Array.of(byte);
    }
    const headers = { "content-type": "text/event-stream;charset=utf-8" };
    const got: string[] = [];
    for await (const { data } of events(new Response(octets(), { headers }))) got.push(data);
    assert.deepEqual(got, ["é😀"]);
  });

  it("refuse what cannot be told", () => {
    assert.throws(() => eventText({ event: "a\nb" }), TypeError);
    assert.throws(() => eventText({ id: "a\rb" }), TypeError);
    assert.throws(() => eventText({ id: "a\0" }), TypeError);
    assert.throws(() => eventText({ retry: -1 }), TypeError);
    assert.throws(() => eventText({ data: 5 as unknown as string }), TypeError);
    assert.throws(() => eventStream([], { keepAlive: 0 }), RangeError);
  });

  it("are read from nothing else", async () => {
    await assert.rejects(events(new Response("data: x\n\n")).next(), /text\/event-stream/);
  });

  it("have a limit", async () => {
    async function* endless() {
      for (;;) yield Buffer.alloc(1024 * 1024, 97);
    }
    const headers = { "content-type": "text/event-stream" };
    await assert.rejects(events(new Response(endless(), { headers })).next(), RangeError);
  });
});
