// run:
// expect: 40 questions, 40 answers
// expect: some had to be asked again: true
/**
 * datagrams.ts: questions and answers over UDP, where any of them may get lost.
 *
 * The server forgets every third question, as a network would. The client numbers its questions, waits
 * a moment for each answer and asks again. One socket serves all its goroutines: one of them reads and
 * hands each answer to whoever waits for that number.
 *
 *   node dist/examples/datagrams.js                          shows itself, and ends
 *   node dist/examples/datagrams.js --serve --port 2333      serves; try it: echo 7 | nc -u ::1 2333
 */
import { parseArgs } from "node:util";
import { after, Chan, go, listenPacket, type PacketConn, recv, select, WaitGroup } from "coronet";

const { values } = parseArgs({
  options: { port: { type: "string", default: "0" }, serve: { type: "boolean", default: false } },
});

const QUESTIONS = 40;
const PATIENCE_MS = 50;

await using server = await listenPacket("udp", `:${values.port}`);
if (values.serve) {
  console.log(`listening on ${server.localAddr}`);
  await serve(server, () => false);
} else {
  let heard = 0;
  go(serve, server, () => ++heard % 3 === 0);
  await askAll(`127.0.0.1:${String(server.localAddr).split(":").at(-1)}`);
}

/** Answers each question with itself and a word, in batches. */
async function serve(conn: PacketConn, forget: () => boolean) {
  for (;;) {
    const questions = (await conn.readBatch()).filter(() => !forget());
    await conn.writeBatch(
      questions.map(({ data, addr }) => ({ data: `${Buffer.from(data)} is a number`, addr })),
    );
  }
}

async function askAll(address: string) {
  await using conn = await listenPacket("udp4", "127.0.0.1:0");
  const waiting = new Map<number, Chan<string>>();
  go(async () => {
    for await (const { data } of conn) {
      const text = Buffer.from(data).toString();
      waiting.get(Number.parseInt(text, 10))?.trySend(text);
    }
  });

  let asked = 0;
  async function ask(number: number): Promise<string> {
    const answer = new Chan<string>(1);
    waiting.set(number, answer);
    for (;;) {
      await conn.writeTo(`${number}`, address);
      asked++;
      const got = await select({ answer: recv(answer), late: after(PATIENCE_MS) });
      if (got.case === "answer" && got.ok) {
        waiting.delete(number);
        return got.value;
      }
    }
  }

  const answers: string[] = [];
  const all = new WaitGroup();
  for (let i = 0; i < QUESTIONS; i++) {
    all.go(async () => {
      answers.push(await ask(i));
    });
  }
  await all.wait();
  console.log(`${QUESTIONS} questions, ${new Set(answers).size} answers`);
  console.log(`some had to be asked again: ${asked > QUESTIONS}`);
}
