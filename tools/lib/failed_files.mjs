// A reporter of node:test: the test files that failed, a line each.

/** @param {AsyncIterable<{ type: string, data: { file?: string, success?: boolean } }>} events */
export default async function* failedFiles(events) {
  for await (const { type, data } of events) {
    if (type === "test:summary" && data.file !== undefined && !data.success) yield `${data.file}\n`;
  }
}
