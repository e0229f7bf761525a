//! `runmesh artifacts`: lists, gets and puts the files of a run.
//!
//! Invariants: a path that another device made up never leads out of the folder that files are
//! copied to; a file is under its name only once it is whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use runmesh_core::api::{Artifact, Transfers};
use runmesh_core::ids::BlobHash;

use crate::client::Client;
use crate::error::CliError;
use crate::progress::while_looking;
use crate::screen::{Screen, note};
use crate::show::{artifact_table, url_part};
use crate::text::{bytes, clean, count};

/// Lists the files of a run.
pub(crate) fn ls(
    client: &Client,
    run: &str,
    path: &str,
    recursive: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let artifacts = list(client, run, path, recursive)?;
    if screen.is_json() {
        return screen.json(&artifacts);
    }
    if artifacts.is_empty() {
        note("this run has no artifacts");
        return Ok(());
    }
    artifact_table(&artifacts, screen)
}

fn list(client: &Client, run: &str, path: &str, all: bool) -> Result<Vec<Artifact>, CliError> {
    let recursive = if all { "true" } else { "false" };
    let query = [("path", path), ("recursive", recursive)];
    client.get(&format!("runs/{}/artifacts", url_part(run)), &query)
}

/// Copies a file, or a folder and all in it, from a run to here.
pub(crate) fn get(
    client: &Client,
    run: &str,
    path: &str,
    output: Option<PathBuf>,
    force: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let path = path.trim_matches('/');
    let files = list(client, run, path, true)?;
    let is_file = files.len() == 1 && files[0].path == path && !path.is_empty();
    if output.as_deref() == Some(Path::new("-")) {
        return match is_file {
            true => to_screen(client, run, path, screen),
            false => Err(CliError::UnsafePath { path: "-".to_owned() }),
        };
    }
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(".");
    let target = match output {
        Some(output) if is_file && output.is_dir() => output.join(safe(name)?),
        Some(output) => output,
        None => safe(name)?,
    };
    let total = files.iter().filter_map(|artifact| artifact.file.as_ref()).map(|file| file.size);
    let progress = bar(total.sum());
    let mut count_copied = 0;
    for artifact in files.iter().filter(|artifact| artifact.file.is_some()) {
        let to = match is_file {
            true => target.clone(),
            false => target.join(safe(below(&artifact.path, path))?),
        };
        fetch(client, run, artifact, &to, force, &progress)?;
        count_copied += 1;
    }
    progress.finish_and_clear();
    if screen.is_json() {
        let target = target.display().to_string();
        return screen.json(&serde_json::json!({ "path": target, "files": count_copied }));
    }
    let target = clean(&target.display().to_string());
    screen.line(&format!("{} at {target}", count(count_copied, "file", "files")))
}

/// The rest of a path below a folder of the run.
fn below<'a>(path: &'a str, folder: &str) -> &'a str {
    path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/')
}

/// A path that stays within the folder it is joined to.
fn safe(path: &str) -> Result<PathBuf, CliError> {
    let safe = Path::new(path);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    // Backslashes and colons lead elsewhere on Windows.
    let foreign = cfg!(windows) && path.contains(['\\', ':']);
    if !safe.components().all(plain) || path.contains('\0') || foreign {
        return Err(CliError::UnsafePath { path: path.to_owned() });
    }
    Ok(safe.to_owned())
}

fn fetch(
    client: &Client,
    run: &str,
    artifact: &Artifact,
    to: &Path,
    force: bool,
    progress: &ProgressBar,
) -> Result<(), CliError> {
    let path = artifact.path.as_str();
    if to.exists() && !force {
        return Err(CliError::Exists { path: to.to_owned() });
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let file = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| CliError::File { doing, path, source }
    };
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    progress.set_message(clean(path));
    let missing = artifact.file.as_ref().filter(|file| !file.here);
    let (size, bytes) = match missing {
        None => open(client, run, path)?,
        Some(file) => while_fetched(client, &file.blob, progress, || open(client, run, path))?,
    };
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(file("write in", folder))?;
    let copied = io::copy(&mut progress.wrap_read(bytes), &mut new).map_err(file("write", to))?;
    if size.is_some_and(|size| size != copied) {
        let source = io::ErrorKind::UnexpectedEof.into();
        return Err(CliError::File { doing: "read all of", path: path.into(), source });
    }
    readable_as_usual(new.as_file()).map_err(file("write", to))?;
    new.persist(to).map_err(|error| file("write", to)(error.error))?;
    Ok(())
}

/// Shows how far the daemon is with fetching a blob from its peers, while something waits for it.
fn while_fetched<T>(
    client: &Client,
    blob: &BlobHash,
    progress: &ProgressBar,
    wait: impl FnOnce() -> Result<T, CliError>,
) -> Result<T, CliError> {
    let before = progress.position();
    let look = || {
        // What cannot be told now is told the next time.
        let Ok(transfers) = client.get::<Transfers>("transfers", &[]) else { return };
        if let Some(one) = transfers.under_way.iter().find(|one| one.blob == *blob) {
            progress.set_position(before + one.bytes_done);
        }
    };
    let waited = while_looking(look, wait);
    progress.set_position(before);
    waited
}

/// Temporary files are their owner's alone; a file that was asked for is like any other.
fn readable_as_usual(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(mask);
        file.set_permissions(fs::Permissions::from_mode(0o666 & !mask.bits()))?;
    }
    let _ = file;
    Ok(())
}

fn open(
    client: &Client,
    run: &str,
    path: &str,
) -> Result<(Option<u64>, impl Read + use<>), CliError> {
    client.download(&format!("runs/{}/artifact", url_part(run)), &[("path", path)])
}

fn to_screen(client: &Client, run: &str, path: &str, screen: &mut Screen) -> Result<(), CliError> {
    let (_, mut bytes) = open(client, run, path)?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = bytes.read(&mut chunk).map_err(|source| CliError::Answer { source })?;
        if read == 0 {
            return Ok(());
        }
        screen.bytes(&chunk[..read])?;
    }
}

/// Copies a file, or a folder and all in it, from here to a run.
pub(crate) fn put(
    client: &Client,
    run: &str,
    local: &Path,
    path: Option<String>,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let name = || local.file_name().map(|name| name.to_string_lossy().into_owned());
    let path = path.or_else(name).unwrap_or_default();
    let mut files = Vec::new();
    walk(local, path.trim_matches('/'), &mut files)?;
    let progress = bar(files.iter().map(|file| file.size).sum());
    let mut put = Vec::new();
    for file in &files {
        progress.set_message(clean(&file.path));
        let bytes = File::open(&file.local).map_err(|source| CliError::File {
            doing: "read",
            path: file.local.clone(),
            source,
        })?;
        let route = format!("runs/{}/artifact", url_part(run));
        let query = [("path", file.path.as_str())];
        let bytes = progress.wrap_read(bytes);
        put.push(client.upload::<Artifact>(&route, &query, file.size, bytes)?);
    }
    progress.finish_and_clear();
    if screen.is_json() {
        return screen.json(&put);
    }
    artifact_table(&put, screen)
}

/// A file to be put.
struct LocalFile {
    local: PathBuf,
    path: String,
    size: u64,
}

/// Finds the files at and below `local`, in order of their names.
fn walk(local: &Path, path: &str, files: &mut Vec<LocalFile>) -> Result<(), CliError> {
    let error = |source| CliError::File { doing: "read", path: local.to_owned(), source };
    let meta = fs::metadata(local).map_err(error)?;
    if !meta.is_dir() {
        files.push(LocalFile { local: local.into(), path: path.to_owned(), size: meta.len() });
        return Ok(());
    }
    let entries: io::Result<Vec<_>> = fs::read_dir(local).map_err(error)?.collect();
    let mut entries = entries.map_err(error)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        walk(&entry.path(), &path, files)?;
    }
    Ok(())
}

/// A bar for transfers that a person would wait for.
fn bar(total: u64) -> ProgressBar {
    /// Less than this is there before anyone could read of it.
    const LONG_BYTES: u64 = 1 << 20;
    if total < LONG_BYTES {
        return ProgressBar::hidden();
    }
    let template = "{bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    let bar = ProgressBar::new(total).with_style(style.progress_chars("━╸ "));
    bar.set_message(bytes(total));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_a_peer_made_up_stay_in_the_folder() {
        for path in ["model.json", "plots/a b.png", "a..b/c", "~x"] {
            assert_eq!(safe(path).expect("harmless"), Path::new(path));
        }
        for path in ["../x", "a/../../x", "/etc/passwd", "a\0b", ".."] {
            assert!(safe(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn folders_are_put_with_all_in_them() -> Result<(), CliError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(dir.path().join("m/sub")).expect("a folder");
        fs::write(dir.path().join("m/b"), "12").expect("a file");
        fs::write(dir.path().join("m/sub/a"), "").expect("a file");
        let mut files = Vec::new();
        walk(&dir.path().join("m"), "model", &mut files)?;
        let found: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        assert_eq!(found, [("model/b", 2), ("model/sub/a", 0)]);
        assert_eq!(below("model/sub/a", "model"), "sub/a");
        assert_eq!(below("model/sub/a", ""), "model/sub/a");
        Ok(())
    }
}
