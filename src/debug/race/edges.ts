/**
 * edges.ts: which release happens before which acquisition, for each kind of thing.
 *
 * The runtime says in which order things were released and taken (runtime/observer.ts has the table);
 * here it is decided what follows from it. The edges are Go's (https://go.dev/ref/mem); nothing that
 * merely happened to come later is taken for ordered.
 */
import { Ring } from "../../internal/ring.ts";
import type { SyncTag } from "../../runtime/observer.ts";
import { Gathered, type Release, type Strand } from "./clocks.ts";

/** Something by which strands come to be ordered. */
interface Edges {
  released(tag: SyncTag, strand: Strand, key: unknown): void;
  acquired(tag: SyncTag, strand: Strand, key: unknown): void;
}

/** The last release counts: locks (whose holders are ordered already), once, the end of a goroutine. */
class Last implements Edges {
  private last: Release | undefined;

  released(_tag: SyncTag, strand: Strand): void {
    this.last = strand.release();
  }

  acquired(_tag: SyncTag, strand: Strand): void {
    if (this.last !== undefined) strand.acquire(this.last);
  }
}

/** All releases so far count: groups, semaphores, places of a bounded pool, what threads share. */
class All implements Edges {
  private readonly gathered = new Gathered();

  released(_tag: SyncTag, strand: Strand): void {
    this.gathered.add(strand.release());
  }

  acquired(_tag: SyncTag, strand: Strand): void {
    this.gathered.acquireBy(strand);
  }
}

/** A writer comes after the writer and the readers before it, a reader after the writer alone. */
class ReadersAndWriters implements Edges {
  private writer: Release | undefined;
  private readonly readers = new Gathered();

  released(tag: SyncTag, strand: Strand): void {
    if (tag === "read") this.readers.add(strand.release());
    else this.writer = strand.release();
  }

  acquired(tag: SyncTag, strand: Strand): void {
    if (this.writer !== undefined) strand.acquire(this.writer);
    if (tag === "read") return;
    this.readers.acquireBy(strand);
    this.readers.clear();
  }
}

interface Sent {
  readonly release: Release;
  readonly strand: Strand;
}

/** First in, first out: the k-th send with the k-th receive, that with the (k + capacity)-th send. */
class ChanEdges implements Edges {
  private readonly capacity: number;
  private readonly inside = new Ring<Sent>();
  /** Receives that no send has come after yet. */
  private readonly taken = new Ring<Release>();
  private sends = 0;
  private closed: Release | undefined;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  released(tag: SyncTag, strand: Strand): void {
    const release = strand.release();
    if (tag === "close") {
      this.closed = release;
      return;
    }
    this.inside.push({ release, strand });
    if (this.capacity === 0 || ++this.sends <= this.capacity) return;
    const before = this.taken.shift();
    if (before !== undefined) strand.acquire(before);
  }

  acquired(tag: SyncTag, strand: Strand): void {
    if (tag === "close") {
      if (this.closed !== undefined) strand.acquire(this.closed);
      return;
    }
    const sent = this.inside.shift();
    const release = strand.release();
    if (sent !== undefined) {
      strand.acquire(sent.release);
      // They met: what the receiver did before is known to the sender when it goes on.
      if (this.capacity === 0) sent.strand.acquire(release);
    }
    if (this.capacity > 0) this.taken.push(release);
  }
}

/** Keys that are gone and of which it is remembered, one by one, who took them out. */
const MOST_GONE = 1000;

/** Who sees a key as it is comes after whoever left it so: put it there, or took it out. */
class KeyEdges implements Edges {
  private readonly present = new Map<unknown, Release>();
  private readonly gone = new Map<unknown, Release>();
  /** Whoever took out those of which nothing is remembered. */
  private readonly rest = new Gathered();

  released(tag: SyncTag, strand: Strand, key: unknown): void {
    const release = strand.release();
    this.gone.delete(key);
    if (tag === "key") {
      this.present.set(key, release);
      return;
    }
    this.present.delete(key);
    if (tag === "gone") this.gone.set(key, release);
    else this.clear(release);
    if (this.gone.size > MOST_GONE) this.forgetOne();
  }

  acquired(tag: SyncTag, strand: Strand, key: unknown): void {
    if (tag === "keys") {
      this.acquireAll(strand);
      return;
    }
    const release = this.present.get(key) ?? this.gone.get(key);
    if (release !== undefined) strand.acquire(release);
    else this.rest.acquireBy(strand);
  }

  private acquireAll(strand: Strand): void {
    for (const release of this.present.values()) strand.acquire(release);
    for (const release of this.gone.values()) strand.acquire(release);
    this.rest.acquireBy(strand);
  }

  private clear(release: Release): void {
    this.present.clear();
    this.gone.clear();
    this.rest.clear();
    this.rest.add(release);
  }

  private forgetOne(): void {
    const [[key, release]] = this.gone as unknown as [[unknown, Release]];
    this.gone.delete(key);
    this.rest.add(release);
  }
}

/** What is taken from a pool comes after whoever put that very thing there. */
class ItemEdges implements Edges {
  private readonly idle = new Map<unknown, Release>();

  released(_tag: SyncTag, strand: Strand, item: unknown): void {
    this.idle.set(item, strand.release());
  }

  acquired(_tag: SyncTag, strand: Strand, item: unknown): void {
    const release = this.idle.get(item);
    if (release === undefined) return;
    this.idle.delete(item);
    strand.acquire(release);
  }
}

function edgesFor(tag: SyncTag, object: object): Edges {
  switch (tag) {
    case "read":
    case "write":
      return new ReadersAndWriters();
    case "units":
    case "done":
    case "place":
    case "shared":
      return new All();
    case "send":
    case "receive":
    case "close":
      return new ChanEdges((object as { capacity: number }).capacity);
    case "key":
    case "gone":
    case "keys":
      return new KeyEdges();
    case "item":
      return new ItemEdges();
    default:
      return new Last();
  }
}

const known = new WeakMap<object, Edges>();

function edgesOf(object: object, tag: SyncTag): Edges {
  let edges = known.get(object);
  if (edges === undefined) {
    edges = edgesFor(tag, object);
    known.set(object, edges);
  }
  return edges;
}

/** A strand released something; `key` is what of a map or a pool. */
export function released(object: object, tag: SyncTag, strand: Strand, key?: unknown): void {
  edgesOf(object, tag).released(tag, strand, key);
}

/** A strand took what was released. */
export function acquired(object: object, tag: SyncTag, strand: Strand, key?: unknown): void {
  edgesOf(object, tag).acquired(tag, strand, key);
}
