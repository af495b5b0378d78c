// The two servers that Greenroom needs: their versions, their sources, and the versions that are rejected.
export interface BinarySpec {
  readonly name: "nats-server" | "livekit-server";
  /** The version to install if none is found. */
  readonly version: string;
  /** The setting with the path of an own binary. */
  readonly pathSetting: "GREENROOM_NATS_SERVER" | "GREENROOM_LIVEKIT_SERVER";
  /** Owner and name of the GitHub repository with the releases. */
  readonly repository: string;
  readonly checksumFile: string;
  /** The archive for a platform, in Go's terms. Undefined: no archive exists. */
  archive(os: string, arch: string): string | undefined;
  readonly goPackage: string;
  /** The name of the program that `go install` creates. */
  readonly goName: string;
  /** Why a version can't be used. Undefined if it can. */
  problemOf(version: string): string | undefined;
}

const NATS_VERSION = "2.15.2";
const LIVEKIT_VERSION = "1.13.5";

export const natsServer: BinarySpec = {
  name: "nats-server",
  version: NATS_VERSION,
  pathSetting: "GREENROOM_NATS_SERVER",
  repository: "nats-io/nats-server",
  checksumFile: "SHA256SUMS",
  archive: (os, arch) => `nats-server-v${NATS_VERSION}-${os}-${arch}.${os === "windows" ? "zip" : "tar.gz"}`,
  goPackage: "github.com/nats-io/nats-server/v2",
  goName: "nats-server",
  problemOf: (version) =>
    isOlder(version, "2.12.3")
      ? `nats-server ${version} can lose acknowledged messages after a crash (found by Jepsen in 2.12.1); use 2.12.3 or newer`
      : undefined,
};

export const livekitServer: BinarySpec = {
  name: "livekit-server",
  version: LIVEKIT_VERSION,
  pathSetting: "GREENROOM_LIVEKIT_SERVER",
  repository: "livekit/livekit",
  checksumFile: "checksums.txt",
  // LiveKit releases no archive for macOS. Homebrew or `go install` provide it there.
  archive: (os, arch) => {
    if (os === "darwin") return undefined;
    return `livekit_${LIVEKIT_VERSION}_${os}_${arch}.${os === "windows" ? "zip" : "tar.gz"}`;
  },
  goPackage: "github.com/livekit/livekit-server/cmd/server",
  goName: "server",
  problemOf: (version) =>
    isOlder(version, "1.13.0")
      ? `livekit-server ${version} is not tested with Greenroom; use 1.13.0 or newer`
      : undefined,
};

/** Compares dotted numbers. Suffixes such as `-beta.1` are ignored. */
export function isOlder(version: string, than: string): boolean {
  const numbers = (text: string) => text.split("-")[0]!.split(".").map(Number);
  const [left, right] = [numbers(version), numbers(than)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** This machine in Go's terms, which name the archives of both projects. */
export function goPlatform(): { os: string; arch: string } {
  const arch = process.arch === "x64" ? "amd64" : process.arch === "arm" ? "arm7" : process.arch;
  return { os: process.platform === "win32" ? "windows" : process.platform, arch };
}
