import { afterEach, beforeEach, test } from "@jest/globals";
import { tests } from "./leaks.mjs";

tests({ test, beforeEach, afterEach });
