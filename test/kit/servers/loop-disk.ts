// A disk of a test's own: a file system in a file, whose state at an instant can be kept, as a power cut would.
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "../../../libs/contracts/errors.ts";

const run = promisify(execFile);

export interface LoopDisk {
  /** Where it is mounted. */
  readonly dir: string;
  /**
   * A disk with what has reached this one's image by now.
   *
   * What its file system still holds in memory isn't in the image: a machine that loses its power loses that
   * too. Nothing should be writing meanwhile, since copying takes longer than an instant.
   */
  afterPowerCut(): Promise<LoopDisk>;
  /** Unmounts it and removes it; may be called twice. */
  remove(): Promise<void>;
}

/** Makes an ext4 file system of so many MiB and mounts it. @throws Error when this machine doesn't let us */
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

/** Why disks can't be made here; undefined when they can. Tried out, since a container's root often may not. */
export async function whyNoLoopDisk(): Promise<string | undefined> {
  if (process.platform !== "linux") return "loop devices are Linux's";
  if (process.getuid?.() !== 0) return "mounting needs root";
  try {
    await (await makeLoopDisk(16)).remove();
    return undefined;
  } catch (error) {
    return `a file system in a file can't be mounted here: ${messageOf(error)}`;
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

/** Unmounts what a killed test left mounted anywhere below a directory, so that this can be removed. */
export async function unmountBelow(dir: string): Promise<void> {
  const mounts = await readFile("/proc/self/mounts", "utf8").catch(() => "");
  // The second field is the place; a space in it is written as \040 (proc(5)), and our names have none.
  const places = mounts.split("\n").flatMap((line) => line.split(" ")[1] ?? []);
  for (const place of places.filter((one) => one.startsWith(`${dir}/`)))
    await run("umount", ["--lazy", place]);
}
