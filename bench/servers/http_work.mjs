// What every HTTP server of JavaScript does here: a greeting, a megabyte, and some JSON that is read.
export const HELLO = "Hello, World!";
export const LARGE = new Uint8Array(1_000_000).fill(120);

export function sumOf({ name, values }) {
  return { name, sum: values.reduce((sum, value) => sum + value, 0) };
}
