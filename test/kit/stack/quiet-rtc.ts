// To be imported before LiveKit's client, which writes a line for its developers at each connection otherwise.
process.env.NODE_ENV ??= "production";
