export default { test: { include: ["leaks.vitest.mjs"], watch: false } };
