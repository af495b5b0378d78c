// A test agent whose file fails to load.
throw new Error("this file fails when it is loaded");

export {};
