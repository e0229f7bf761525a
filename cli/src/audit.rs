//! `runmesh audit`: who did what, when and on which device; checking it, here and anywhere.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::thread::available_parallelism;

use runmesh_core::api::{
    AuditFlaw, AuditLine, AuditPage, AuditQuery, AuditReport, BundleBlobs, ExportRequest,
};
use runmesh_core::audit;
use serde_json::json;

use crate::args::Audit;
use crate::bundles::export_to;
use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, note};
use crate::text::{ago, bytes, clean, clean_in, count, moment, name_or, now_ms};

/// How much of a name is shown.
const NAME_CHARS: usize = 24;
/// How much of what was done is shown.
const SAID_CHARS: usize = 400;

/// Shows what was done, newest first.
pub(crate) fn audit(client: &Client, asked: &Audit, screen: &mut Screen) -> Result<(), CliError> {
    let mut query = AuditQuery {
        run: asked.run.clone(),
        model: asked.model.clone(),
        device: asked.device.clone(),
        ..AuditQuery::default()
    };
    let mut told = AuditPage::default();
    // A page may be short where little of what was read is about what is asked for.
    while told.lines.len() < asked.limit {
        query.limit = Some(asked.limit - told.lines.len());
        let page: AuditPage = client.post("audit", &query)?;
        told.lines.extend(page.lines);
        told.cursor.clone_from(&page.cursor);
        query.cursor = page.cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if screen.is_json() {
        return screen.json(&told);
    }
    let now = now_ms();
    for line in &told.lines {
        show(line, now, screen)?;
    }
    if told.cursor.is_some() {
        note("there is more: --limit shows it");
    }
    if told.lines.is_empty() {
        note("nothing of the kind was done");
    }
    Ok(())
}

fn show(line: &AuditLine, now: i64, screen: &mut Screen) -> Result<(), CliError> {
    let device = clean_in(&name_or(&line.device.name, line.device.id.short()), NAME_CHARS);
    let name = clean_in(&line.name, NAME_CHARS);
    let of = match line.kind.as_str() {
        "" => String::new(),
        "workspace" => "workspace: ".to_owned(),
        "run" => format!("run {name} {}: ", &line.document[..line.document.len().min(8)]),
        kind => format!("{kind} {name}: "),
    };
    let mut said = clean_in(&line.said.join("; "), SAID_CHARS);
    if line.more > 0 {
        said.push_str(&format!("; and {} more", line.more));
    }
    let when = ago(i64::try_from(line.at_ms).unwrap_or(i64::MAX), now);
    let who = screen.toned(&device, Tone::Strong);
    let when = screen.toned(&when, Tone::Quiet);
    screen.line(&format!("{who}, {when}: {of}{said}"))?;
    for (what, why) in [("does not count", &line.void), ("is not genuine", &line.broken)] {
        if let Some(why) = why {
            let place = format!("entry {} of {}", line.entry, line.device.id.short());
            let text = screen.toned(&format!("{place} {what}: {}", clean(why)), Tone::Bad);
            screen.line(&format!("  ! {text}"))?;
        }
    }
    Ok(())
}

/// Verifies all that the daemon's store holds.
pub(crate) fn verify(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let waiting = spinner("verifying");
    let report: AuditReport = client.post("audit/verify", &())?;
    waiting.finish_and_clear();
    if screen.is_json() {
        screen.json(&report)?;
    } else {
        screen.line(&format!(
            "{} of {} are genuine and in their places ({})",
            count(report.entries, "entry", "entries"),
            count(report.journals, "journal", "journals"),
            bytes(report.bytes)
        ))?;
        show_rest(report.redacted, report.set_aside, screen)?;
        show_flaws(&report.wrong, screen)?;
    }
    if report.wrong.is_empty() { Ok(()) } else { Err(CliError::Unsound) }
}

fn show_rest(redacted: u64, set_aside: u64, screen: &mut Screen) -> Result<(), CliError> {
    if redacted > 0 {
        let redacted = count(redacted, "operation was", "operations were");
        screen
            .line(&format!("{redacted} redacted: what they said is gone, that they were is not"))?;
    }
    if set_aside > 0 {
        let aside = count(set_aside, "entry is", "entries are");
        screen.line(&format!("{aside} kept and do not count: they came after a removal"))?;
    }
    Ok(())
}

fn show_flaws(flaws: &[AuditFlaw], screen: &mut Screen) -> Result<(), CliError> {
    for flaw in flaws {
        let why = screen.toned(&clean(&flaw.why), Tone::Bad);
        screen.line(&format!("! {why}"))?;
    }
    Ok(())
}

/// Writes a file that proves what was done.
pub(crate) fn export(
    client: &Client,
    file: &Path,
    force: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if file.exists() && !force {
        return Err(CliError::Exists { path: file.to_owned() });
    }
    let waiting = spinner("writing");
    let request = ExportRequest { all: true, blobs: BundleBlobs::None, ..ExportRequest::default() };
    let size = export_to(client, &request, file)?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&json!({ "file": file, "bytes": size }));
    }
    screen.line(&format!("{} written to {}", bytes(size), file.display()))?;
    note("anybody can check it, anywhere: `runmesh audit verify FILE`");
    Ok(())
}

/// Verifies a file, which needs neither a home nor a daemon.
pub(crate) fn verify_file(path: &Path, screen: &mut Screen) -> Result<(), CliError> {
    let failed = |source| CliError::File { doing: "read", path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let waiting = spinner("verifying");
    let threads = available_parallelism().map_or(1, usize::from);
    let report = audit::verify_file(file, threads)
        .map_err(|source| CliError::NotAnAudit { path: path.to_owned(), source })?;
    waiting.finish_and_clear();
    if screen.is_json() {
        screen.json(&as_json(&report))?;
    } else {
        show_file(&report, screen)?;
    }
    if report.is_sound() { Ok(()) } else { Err(CliError::Unsound) }
}

fn show_file(report: &audit::FileReport, screen: &mut Screen) -> Result<(), CliError> {
    let ms = |ms: u64| moment(i64::try_from(ms).unwrap_or(i64::MAX));
    let entries = report.journals.iter().map(|held| held.entries).sum();
    screen.facts([
        (
            "workspace",
            format!("{} {}", clean(&report.workspace_name), report.start.workspace.short()),
        ),
        ("written by", format!("{} {}", clean(&report.start.name), report.start.device.short())),
        ("on", ms(report.start.made_ms)),
        ("genuine", count(entries, "entry", "entries")),
    ])?;
    let rows = report.journals.iter().map(|held| {
        let name = name_or(&held.name, held.journal.device.short());
        [
            clean_in(&name, NAME_CHARS),
            held.journal.device.short(),
            held.entries.to_string(),
            held.operations.to_string(),
            ms(held.first.millis()),
            ms(held.last.millis()),
        ]
        .map(comfy_table::Cell::new)
        .to_vec()
    });
    screen.table(&["device", "id", "entries", "operations", "first", "last"], rows)?;
    let redacted = report.journals.iter().map(|held| held.redacted).sum();
    show_rest(redacted, 0, screen)?;
    let flaws: Vec<AuditFlaw> = report.wrong.iter().map(AuditFlaw::from).collect();
    show_flaws(&flaws, screen)?;
    for fault in faults(report) {
        let fault = screen.toned(&clean(&fault), Tone::Bad);
        screen.line(&format!("! {fault}"))?;
    }
    Ok(())
}

fn faults(report: &audit::FileReport) -> Vec<String> {
    let mut faults: Vec<String> = report.broken.iter().cloned().collect();
    if report.founder.is_none() {
        faults.push("it does not hold the first entry of the workspace's founder".to_owned());
    }
    faults
}

fn as_json(report: &audit::FileReport) -> serde_json::Value {
    let journal = |held: &audit::HeldJournal| {
        json!({
            "device": { "id": held.journal.device, "name": held.name },
            "incarnation": held.journal.incarnation.to_string(),
            "entries": held.entries,
            "operations": held.operations,
            "redacted": held.redacted,
            "first_ms": held.first.millis(),
            "last_ms": held.last.millis(),
        })
    };
    json!({
        "workspace": { "id": report.start.workspace, "name": report.workspace_name },
        "written_by": { "id": report.start.device, "name": report.start.name },
        "made_ms": report.start.made_ms,
        "founder": report.founder,
        "journals": report.journals.iter().map(journal).collect::<Vec<_>>(),
        "void_acts": report.void_acts,
        "bytes": report.bytes,
        "sound": report.is_sound(),
        "wrong": report.wrong.iter().map(AuditFlaw::from).collect::<Vec<_>>(),
        "faults": faults(report),
    })
}
