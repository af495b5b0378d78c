// A stand-in for GitHub's releases, with the same paths, on loopback, and with the faults that a test asks for.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type BinarySpec, goPlatform } from "../../../cli/servers/binary-specs.ts";

export type Fault =
  | "none"
  | "wrong checksum"
  | "no archive"
  | "not in the checksums"
  | "silent"
  | "stalls"
  | "breaks off";

export interface ReleaseServer {
  readonly url: string;
  readonly requests: string[];
  stop(): Promise<void>;
}

/** Serves one release of a program that prints `output`. */
export async function startReleaseServer(
  spec: BinarySpec,
  output: string,
  fault: Fault,
): Promise<ReleaseServer> {
  const { os, arch } = goPlatform();
  const name = spec.archive(os, arch);
  if (name === undefined) throw new Error(`There is no release of ${spec.name} for this machine`);
  const archive = archiveOf(spec.name, output);
  const sum = createHash("sha256").update(archive).digest("hex");
  const listed = fault === "wrong checksum" ? "0".repeat(64) : sum;
  const other = `${"1".repeat(64)}  another-file.tar.gz\n`;
  const listing = fault === "not in the checksums" ? other : `${other}${listed}  ${name}\n`;

  const folder = `/${spec.repository}/releases/download/v${spec.version}`;
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    // GitHub redirects to another address for the file itself.
    if (request.url === `${folder}/${name}`) response.writeHead(302, { location: "/files/1" }).end();
    else if (request.url === `${folder}/${spec.checksumFile}`) {
      if (fault !== "silent") response.end(listing);
    } else if (request.url === "/files/1" && fault !== "no archive") send(response, archive, fault);
    else response.writeHead(404).end("Not Found");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function send(response: ServerResponse, archive: Buffer, fault: Fault): void {
  response.setHeader("content-length", archive.length);
  if (fault !== "stalls" && fault !== "breaks off") return void response.end(archive);
  response.write(archive.subarray(0, 100));
  if (fault === "breaks off") setTimeout(() => response.destroy(), 20);
}

/** Packs the program into a folder, like the archives of nats-server. */
function archiveOf(program: string, output: string): Buffer {
  const directory = mkdtempSync(join(tmpdir(), "greenroom-release-"));
  try {
    const file = join(directory, "in", "a-folder", program);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `#!/bin/sh\necho "${output}"\n`);
    execFileSync("tar", ["-czf", join(directory, "out.tar.gz"), "-C", join(directory, "in"), "a-folder"]);
    return readFileSync(join(directory, "out.tar.gz"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
