// An agent for tests that can't even be loaded.
throw new Error("this file fails when it is loaded");

export {};
