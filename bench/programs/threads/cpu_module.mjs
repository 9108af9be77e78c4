// Serves requests of one byte that take about a millisecond of computing each.
const ROUNDS = 600_000;

function compute(seed) {
  let x = seed | 1;
  for (let i = 0; i < ROUNDS; i++) x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
  return x;
}

export default async function serve(conn) {
  const buffer = new Uint8Array(1);
  while ((await conn.read(buffer)) !== null) {
    buffer[0] = compute(buffer[0]);
    await conn.write(buffer);
  }
}
