// The two servers that Greenroom runs on: which version, where from, and which versions it won't take.
export interface BinarySpec {
  readonly name: "nats-server" | "livekit-server";
  /** The version that is installed when none is found. */
  readonly version: string;
  /** The setting that names a binary of one's own. */
  readonly pathSetting: "GREENROOM_NATS_SERVER" | "GREENROOM_LIVEKIT_SERVER";
  /** Owner and name on GitHub, whose releases are downloaded. */
  readonly repository: string;
  readonly checksumFile: string;
  /** The release's file for a platform, in Go's words; undefined: there is none. */
  archive(os: string, arch: string): string | undefined;
  readonly goPackage: string;
  /** What `go install` calls the program. */
  readonly goName: string;
  /** Why a found version can't be used; undefined when it can. */
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
      ? `nats-server ${version} can lose acknowledged messages after a crash (found by Jepsen in 2.12.1); 2.12.3 or newer is needed`
      : undefined,
};

export const livekitServer: BinarySpec = {
  name: "livekit-server",
  version: LIVEKIT_VERSION,
  pathSetting: "GREENROOM_LIVEKIT_SERVER",
  repository: "livekit/livekit",
  checksumFile: "checksums.txt",
  // LiveKit releases no macOS archive (Homebrew has it): there it is PATH or `go install`.
  archive: (os, arch) => {
    if (os === "darwin") return undefined;
    return `livekit_${LIVEKIT_VERSION}_${os}_${arch}.${os === "windows" ? "zip" : "tar.gz"}`;
  },
  goPackage: "github.com/livekit/livekit-server/cmd/server",
  goName: "server",
  problemOf: (version) =>
    isOlder(version, "1.13.0")
      ? `livekit-server ${version} is older than any that Greenroom is tried with; 1.13.0 or newer is needed`
      : undefined,
};

/** Compares dotted numbers; a suffix as in `-beta.1` doesn't count. */
export function isOlder(version: string, than: string): boolean {
  const numbers = (text: string) => text.split("-")[0]!.split(".").map(Number);
  const [left, right] = [numbers(version), numbers(than)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** This machine in Go's words, which both projects' releases are named by. */
export function goPlatform(): { os: string; arch: string } {
  const arch = process.arch === "x64" ? "amd64" : process.arch === "arm" ? "arm7" : process.arch;
  return { os: process.platform === "win32" ? "windows" : process.platform, arch };
}
