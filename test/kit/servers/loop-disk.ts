// A file system in a file, of which a test can take a copy as a power cut would leave it.
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "../../../libs/contracts/errors.ts";

const run = promisify(execFile);

export interface LoopDisk {
  /** The mount point. */
  readonly dir: string;
  /**
   * Mounts a copy of the image with the data that has reached it by now.
   *
   * Data in the file system's memory is not in the image, and would be lost with the power too. Nothing should write
   * during the copy, because copying takes a while.
   */
  afterPowerCut(): Promise<LoopDisk>;
  /** Unmounts and removes the disk; may be called twice. */
  remove(): Promise<void>;
}

/** Creates and mounts an ext4 file system of `sizeMb` MiB. @throws Error when the machine doesn't allow that */
export async function makeLoopDisk(sizeMb: number): Promise<LoopDisk> {
  const home = await mkdtemp(join(tmpdir(), "greenroom-disk-"));
  const image = join(home, "image");
  try {
    const file = await open(image, "w");
    await file.truncate(sizeMb * 1024 * 1024);
    await file.close();
    await run("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
    return await mountImage(home, image);
  } catch (error) {
    await rm(home, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Returns why this machine can't create disks; undefined if it can. The function tries it, because root in a
 * container often may not mount.
 */
export async function whyNoLoopDisk(): Promise<string | undefined> {
  if (process.platform !== "linux") return "loop devices need Linux";
  if (process.getuid?.() !== 0) return "mounting needs root";
  try {
    await (await makeLoopDisk(16)).remove();
    return undefined;
  } catch (error) {
    return `failed to mount a file system in a file: ${messageOf(error)}`;
  }
}

async function mountImage(home: string, image: string): Promise<LoopDisk> {
  const dir = join(home, "mounted");
  await mkdir(dir);
  await run("mount", ["-o", "loop", image, dir]);
  let isMounted = true;
  return {
    dir,
    async afterPowerCut() {
      const copyHome = await mkdtemp(join(tmpdir(), "greenroom-disk-"));
      const copy = join(copyHome, "image");
      try {
        await copyFile(image, copy);
        return await mountImage(copyHome, copy);
      } catch (error) {
        await rm(copyHome, { recursive: true, force: true });
        throw error;
      }
    },
    async remove() {
      if (isMounted) await run("umount", [dir]);
      isMounted = false;
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Unmounts everything that a killed test left mounted below a directory, so that the directory can be removed. */
export async function unmountBelow(dir: string): Promise<void> {
  const mounts = await readFile("/proc/self/mounts", "utf8").catch(() => "");
  // The second field is the mount point. A space in it would be written as \040 (proc(5)); these paths have none.
  const mountPoints = mounts.split("\n").flatMap((line) => line.split(" ")[1] ?? []);
  for (const mountPoint of mountPoints.filter((one) => one.startsWith(`${dir}/`)))
    await run("umount", ["--lazy", mountPoint]);
}
