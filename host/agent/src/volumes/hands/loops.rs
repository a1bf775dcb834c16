//! Image files as block devices, and the file systems on them.

use std::path::{Path, PathBuf};

use super::programs::{must, run};
use crate::volumes::record::Place;

/// Where the kernel lists block devices.
const BLOCK_DEVICES: &str = "/sys/block";
/// What it says behind the name of a file that was deleted.
const GONE: &str = " (deleted)";
/// Exit code of `blkid --probe` for a device that carries no signature.
const NOTHING_FOUND: i32 = 2;
/// Where an ext file system describes itself.
const EXT_SUPERBLOCK: u64 = 1024;
/// Where the description has the low half of the number of blocks. Images are at most
/// 16 TiB, for which it is enough.
const EXT_BLOCKS: usize = 4;
/// Where it has the size of a block, as a power of two over 1024.
const EXT_BLOCK_SIZE: usize = 24;
/// The largest such power.
const EXT_BLOCK_SHIFT_MAX: u64 = 6;
/// Exit codes of `e2fsck` up to this one: errors were mended.
const MENDED: i32 = 1;

/// The device of an image file, attached now unless it is. A device that something
/// holds although it was detached is the same one again: two of one file would each
/// have a truth of its own.
pub(super) async fn attach(image: &Path, place: &Place) -> Result<PathBuf, String> {
    if let Some(device) = devices(image, place).await?.into_iter().next() {
        // The image may have grown.
        must("losetup", [Path::new("--set-capacity"), &device], place).await?;
        return Ok(device);
    }
    let words = ["--find", "--show", "--nooverlap"].map(Path::new);
    let said = must("losetup", words.into_iter().chain([image]), place).await?;
    match said.trim() {
        "" => Err("losetup named no device".to_owned()),
        device => Ok(device.into()),
    }
}

/// Detaches what was attached as this file from its devices. They are found by name:
/// the file may be gone, and another in its place.
pub(super) async fn detach(image: &Path, place: &Place) -> Result<(), String> {
    for device in attached_as(image) {
        must("losetup", [Path::new("--detach"), &device], place).await?;
    }
    Ok(())
}

fn attached_as(image: &Path) -> Vec<PathBuf> {
    let is_it = |named: &str| Path::new(named.trim_end().trim_end_matches(GONE)) == image;
    std::fs::read_dir(BLOCK_DEVICES)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|device| {
            let named = std::fs::read_to_string(device.path().join("loop/backing_file"));
            named.is_ok_and(|named| is_it(&named))
        })
        .map(|device| Path::new("/dev").join(device.file_name()))
        .collect()
}

async fn devices(image: &Path, place: &Place) -> Result<Vec<PathBuf>, String> {
    let words = ["--noheadings", "--output", "NAME", "--associated"].map(Path::new);
    let said = must("losetup", words.into_iter().chain([image]), place).await?;
    Ok(said.split_whitespace().map(PathBuf::from).collect())
}

/// Makes a file system on a device that carries nothing, or half of one that was
/// being made.
pub(super) async fn format_if_blank(
    device: &Path,
    fs_type: &str,
    half_formatted: bool,
    place: &Place,
) -> Result<(), String> {
    if !half_formatted && signature(device, place).await?.is_some() {
        return Ok(());
    }
    let program = format!("mkfs.{fs_type}");
    // XFS and Btrfs want to be told that what is there may go; ext has another word.
    let (quiet, force) = if fs_type.starts_with("ext") { ("-q", "-F") } else { ("-q", "-f") };
    must(&program, [Path::new(quiet), Path::new(force), device], place).await?;
    // What the node's disk had no room for is told here at the latest.
    let synced = tokio::fs::File::open(device).await;
    let synced = match synced {
        Ok(file) => file.sync_all().await,
        Err(e) => Err(e),
    };
    synced.map_err(|e| format!("{program}: {}: {e}", device.display()))
}

/// Grows the file system on a device to the device's size.
pub(super) async fn grow(device: &Path, place: &Place) -> Result<(), String> {
    match signature(device, place).await?.as_deref() {
        Some("ext2" | "ext3" | "ext4") => {
            if ext_fills(device).map_err(|e| format!("{}: {e}", device.display()))? {
                return Ok(());
            }
            let checked = run("e2fsck", [Path::new("-fp"), device], place).await?;
            if !(0..=MENDED).contains(&checked.code) {
                return Err(format!("e2fsck ended with {}: {}", checked.code, checked.complaint));
            }
            must("resize2fs", [device], place).await.map(drop)
        }
        Some(other) => Err(format!("a file system of type {other} does not grow unmounted")),
        None => Err("there is no file system to grow".to_owned()),
    }
}

/// Whether an ext file system is as large as its device, but for less than a block.
fn ext_fills(device: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(device)?;
    let capacity = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(EXT_SUPERBLOCK))?;
    let mut head = [0; EXT_BLOCK_SIZE + 4];
    file.read_exact(&mut head)?;
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        u64::from(u32::from_le_bytes(bytes))
    };
    let block = 1024_u64 << number(EXT_BLOCK_SIZE).min(EXT_BLOCK_SHIFT_MAX);
    Ok(number(EXT_BLOCKS) * block + block > capacity)
}

/// What a device carries; `None` for nothing at all.
async fn signature(device: &Path, place: &Place) -> Result<Option<String>, String> {
    let words = ["--probe", "--output", "value", "--match-tag", "TYPE"].map(Path::new);
    let probed = run("blkid", words.into_iter().chain([device]), place).await?;
    match probed.code {
        0 => Ok(Some(probed.stdout.trim().to_owned())),
        NOTHING_FOUND => Ok(None),
        code => Err(format!("blkid ended with {code}: {}", probed.complaint)),
    }
}
