//! `runmesh bundle`: exports, imports and inspects bundles, which stream through the daemon.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use runmesh_core::api::{BundleReport, ExportRequest};

use crate::args;
use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, note};
use crate::text::{bytes, clean, count, moment};

/// The first part of a bundle, which says where it ends, is no longer than this.
const HEAD_BYTES: u64 = 17 << 20;

/// Writes a bundle to a file.
pub(crate) fn export(
    client: &Client,
    export: &args::Export,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if export.file.exists() && !export.force {
        return Err(CliError::Exists { path: export.file.clone() });
    }
    let mut request = ExportRequest {
        all: export.all,
        device: export.reader.clone(),
        blobs: export.with_blobs.into(),
        encrypt: export.encrypt,
        ..ExportRequest::default()
    };
    match &export.since {
        Some(since) if Path::new(since).is_file() => {
            request.since =
                Some(ask(client, "bundle/inspect", Path::new(since), HEAD_BYTES)?.head.until);
        }
        Some(date) => request.since_ms = Some(moment_of(date)?),
        None => {}
    }
    let waiting = spinner("writing");
    let size = export_to(client, &request, &export.file)?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "file": export.file, "bytes": size }));
    }
    screen.line(&format!("{} written to {}", bytes(size), export.file.display()))?;
    note("next, on the other device: `runmesh bundle import FILE`");
    Ok(())
}

/// Writes a bundle to a file. Returns its length.
pub(crate) fn export_to(
    client: &Client,
    request: &ExportRequest,
    path: &Path,
) -> Result<u64, CliError> {
    save(client.post_for_bytes("bundle/export", request)?, path)
}

/// Writes what is read under another name, and gives it its own when it is whole and on the disk.
/// Returns its length.
pub(crate) fn save(mut from: impl Read, path: &Path) -> Result<u64, CliError> {
    let failed = |doing| move |source| CliError::File { doing, path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let part = tempfile::Builder::new().prefix(".runmesh-").suffix(".part").tempfile_in(folder);
    let mut part = part.map_err(failed("write"))?;
    let size = io::copy(&mut from, part.as_file_mut()).map_err(failed("write"))?;
    part.as_file_mut().flush().map_err(failed("write"))?;
    part.as_file().sync_all().map_err(failed("write"))?;
    part.persist(path).map_err(|error| failed("write")(error.error))?;
    Ok(size)
}

fn moment_of(text: &str) -> Result<u64, CliError> {
    let not_one = || CliError::NotASince { text: text.to_owned() };
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let local: jiff::civil::DateTime = text.parse().map_err(|_| not_one())?;
            let zoned = local.to_zoned(jiff::tz::TimeZone::system()).map_err(|_| not_one())?;
            zoned.timestamp()
        }
    };
    u64::try_from(at.as_millisecond()).map_err(|_| not_one())
}

/// Takes in a bundle.
pub(crate) fn import(client: &Client, file: &Path, screen: &mut Screen) -> Result<(), CliError> {
    let waiting = spinner("reading");
    let report = ask(client, "bundle/import", file, u64::MAX)?;
    waiting.finish_and_clear();
    if screen.is_json() {
        screen.json(&report)?;
    } else {
        screen.line(&format!(
            "{} new of {}, {} new of {}, from {}",
            count(report.entries_new, "entry", "entries"),
            report.entries,
            count(report.blobs_new, "blob", "blobs"),
            report.blobs,
            written_by(&report)
        ))?;
        if report.entries_carried > 0 {
            let entries = count(report.entries_carried, "entry", "entries");
            screen.line(&format!(
                "this device had written otherwise before: {entries} of both lines stand in its \
                 journal anew"
            ))?;
        }
        show_faults(&report, screen)?;
    }
    if report.is_complete() { Ok(()) } else { Err(CliError::NotAllTaken) }
}

/// Says what is in a bundle.
pub(crate) fn inspect(client: &Client, file: &Path, screen: &mut Screen) -> Result<(), CliError> {
    let report = ask(client, "bundle/inspect", file, u64::MAX)?;
    if screen.is_json() {
        screen.json(&report)?;
    } else {
        let at = moment(i64::try_from(report.head.made_ms).unwrap_or(i64::MAX));
        screen.facts([
            ("workspace", report.head.workspace.short()),
            ("written by", written_by(&report)),
            ("on", at),
            ("starts after", count(report.head.from_entries, "entry", "entries")),
            ("reaches", count(report.head.until_entries, "entry", "entries")),
            ("holds", count(report.entries, "entry", "entries")),
            (
                "blobs",
                format!("{}, {}", count(report.blobs, "blob", "blobs"), bytes(report.blob_bytes)),
            ),
        ])?;
        show_faults(&report, screen)?;
    }
    if report.is_complete() { Ok(()) } else { Err(CliError::Unsound) }
}

fn ask(client: &Client, path: &str, file: &Path, limit: u64) -> Result<BundleReport, CliError> {
    let failed = |source| CliError::File { doing: "read", path: PathBuf::from(file), source };
    let opened = File::open(file).map_err(failed)?;
    let size = fs::metadata(file).map_err(failed)?.len().min(limit);
    client.upload(path, &[], size, opened.take(size))
}

fn written_by(report: &BundleReport) -> String {
    let device = &report.head.device;
    format!("{} {}", clean(&device.name), device.id.short())
}

fn show_faults(report: &BundleReport, screen: &mut Screen) -> Result<(), CliError> {
    let mut faults: Vec<String> = report.broken.iter().cloned().collect();
    faults.extend(report.missing.iter().map(|missing| {
        format!(
            "entries {} to {} of device {} are missing: ask for a bundle that holds them",
            missing.from,
            missing.until - 1,
            missing.device.short()
        )
    }));
    faults.extend(report.stuck.iter().map(|stuck| stuck.why.clone()));
    let bad = report.blobs_bad.iter();
    faults.extend(bad.map(|blob| format!("blob {blob} is not what its hash says")));
    for fault in faults {
        let fault = screen.toned(&clean(&fault), Tone::Doubtful);
        screen.line(&format!("! {fault}"))?;
    }
    Ok(())
}
