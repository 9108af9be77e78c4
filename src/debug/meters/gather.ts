/**
 * gather.ts: the meters of all threads of the process, asked for by one of them.
 *
 * Threads that keep meters hear on a BroadcastChannel. Whoever asks waits for those that it knows, a little
 * while: a thread that is busy cannot answer, and one that has ended will not.
 *
 * Of a process that asks, threads that are started later keep meters too, without a word of their program:
 * the environment data of threads says so, and this file is loaded with the library.
 */
import {
  BroadcastChannel,
  getEnvironmentData,
  isMainThread,
  setEnvironmentData,
  threadId,
} from "node:worker_threads";
import { type Meters, meters, watchMeters } from "./meters.ts";

/** In the environment data of threads. */
const INHERITED = "coronet.meters";
const NAME = `coronet.meters.${process.pid}`;
const PATIENCE_MS = 500;

type Message =
  /** Who is there? */
  | { type: "who" }
  | { type: "here"; thread: number }
  | { type: "gone"; thread: number }
  | { type: "ask"; thread: number; number: number }
  | { type: "answer"; thread: number; to: number; number: number; meters: Meters };

/** Under way: who has still to answer. */
interface Question {
  readonly missing: Set<number>;
  readonly answers: Meters[];
  done(): void;
}

class Line {
  private readonly channel = new BroadcastChannel(NAME);
  private readonly others = new Set<number>();
  private readonly questions = new Map<number, Question>();
  private readonly unwatch = watchMeters();
  private asked = 0;

  constructor() {
    this.channel.onmessage = (event) => this.onMessage((event as { data: Message }).data);
    this.channel.unref();
    this.tell({ type: "who" });
    this.tell({ type: "here", thread: threadId });
  }

  close(): void {
    this.tell({ type: "gone", thread: threadId });
    this.channel.close();
    this.unwatch();
  }

  async ask(): Promise<Meters[]> {
    const number = ++this.asked;
    const missing = new Set(this.others);
    const answers = [meters()];
    if (missing.size > 0) {
      const wait = new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PATIENCE_MS);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        this.questions.set(number, { missing, answers, done });
      });
      this.tell({ type: "ask", thread: threadId, number });
      await wait;
      this.questions.delete(number);
    }
    return answers.sort((a, b) => a.thread - b.thread);
  }

  private tell(message: Message): void {
    this.channel.postMessage(message);
  }

  private onMessage(message: Message): void {
    const { type } = message;
    if (type === "who") this.tell({ type: "here", thread: threadId });
    else if (type === "here") this.others.add(message.thread);
    else if (type === "gone") this.lost(message.thread);
    else if (type === "ask") {
      const { thread: to, number } = message;
      this.tell({ type: "answer", thread: threadId, to, number, meters: meters() });
    } else if (message.to === threadId) {
      const question = this.questions.get(message.number);
      if (question?.missing.has(message.thread) !== true) return;
      question.answers.push(message.meters);
      this.answered(question, message.thread);
    }
  }

  private lost(thread: number): void {
    this.others.delete(thread);
    for (const question of this.questions.values()) this.answered(question, thread);
  }

  private answered(question: Question, thread: number): void {
    question.missing.delete(thread);
    if (question.missing.size === 0) question.done();
  }
}

let line: Line | undefined;
let users = 0;

/**
 * Keeps the meters of this thread, answers to others that ask for them, and makes the threads that are
 * started from now on do the same. Returns what ends that here, once.
 */
export function shareMeters(): () => void {
  users++;
  if (line === undefined) {
    line = new Line();
    setEnvironmentData(INHERITED, true);
    process.on("exit", leave);
  }
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--users > 0) return;
    process.off("exit", leave);
    setEnvironmentData(INHERITED, undefined);
    leave();
  };
}

function leave(): void {
  line?.close();
  line = undefined;
}

/**
 * The meters of this thread and of every other one that shares its own, by their numbers. A thread that is
 * too busy to answer within half a second is missing.
 */
export async function gatherMeters(): Promise<Meters[]> {
  if (line === undefined) throw new Error("coronet: call shareMeters() first");
  return await line.ask();
}

if (!isMainThread && getEnvironmentData(INHERITED) === true) shareMeters();
