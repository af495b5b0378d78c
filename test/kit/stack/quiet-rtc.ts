// Silences LiveKit's client, which otherwise writes a developer line at each connection. Import this file first.
process.env.NODE_ENV ??= "production";
