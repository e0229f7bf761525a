//! `runmesh demo`: two devices log while apart, join, and end up with the same runs.
//!
//! Nothing in it is played: the models are trained, the runs are logged over HTTP as any script
//! would, and the devices are two daemons that find each other by a ticket.

mod compare;
mod mlflow;
mod stage;
mod train;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use comfy_table::Cell;
use runmesh_core::api::{
    Invitation, InviteRequest, JoinRequest, Joined, RunDetails, Status, SyncReport, SyncRequest,
    Traffic, Value,
};
use serde::Serialize;
use serde_json::json;

use self::compare::{Holding, difference, holding};
use self::mlflow::{LoggedRun, Mlflow};
use self::stage::{Device, Stage};
use self::train::{Birds, Model, Score, Settings, train};
use crate::args;
use crate::error::CliError;
use crate::screen::{Screen, Tone, cell, right, toned};
use crate::text::{bytes, count, now_ms, number, span, sparkline};

const EXPERIMENT: &str = "penguins";
const MODEL_FILE: &str = "model.json";
const EPOCHS: u32 = 80;
/// Epochs that are logged with one request.
const EPOCHS_PER_REQUEST: usize = 20;
/// From steps that hardly learn to steps that overshoot.
const LEARNING_RATES: (f64, f64) = (0.003, 6.0);
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// A model that was trained and logged.
struct Trained {
    device: &'static str,
    settings: Settings,
    run: LoggedRun,
    scores: Vec<Score>,
    model: Vec<u8>,
}

/// What came of it, for programs.
#[derive(Serialize)]
struct Summary {
    same: bool,
    runs: usize,
    best_run: String,
    best_accuracy: f64,
    joined_and_synced_ms: u64,
    moved: Traffic,
    devices: Vec<serde_json::Value>,
}

/// Shows that it works.
pub(crate) fn demo(asked: &args::Demo, screen: &mut Screen) -> Result<(), CliError> {
    let stage = Stage::new()?;
    step(screen, 1, "Two devices start, cut apart: neither knows of the other")?;
    let ann = stage.enter("ann")?;
    let bob = stage.enter("bob")?;
    for device in [&ann, &bob] {
        say(screen, &format!("  {}  http://{}", device.name, device.client.address()))?;
    }
    let trained = train_apart(&ann, &bob, asked.runs, screen)?;
    let (moved, took) = pair(&ann, &bob, screen)?;
    let (on_ann, on_bob) = (holding(&ann)?, holding(&bob)?);
    let best = show_same(&trained, &on_ann, &on_bob, screen)?;
    if let Some(difference) = difference(&on_ann, &on_bob) {
        return Err(CliError::NotTheSame { difference });
    }
    same_bytes(best, &ann, &bob)?;
    let verdict = format!(
        "Both hold the same {} and model files; it took {} and {}.",
        count(trained.len() as u64, "run", "runs"),
        span(took),
        bytes(moved.bytes_in + moved.bytes_out)
    );
    let verdict = screen.toned(&verdict, Tone::Good);
    say(screen, &format!("\n{verdict}"))?;
    if screen.is_json() {
        screen.json(&Summary {
            same: true,
            runs: trained.len(),
            best_run: best.run.id.clone(),
            best_accuracy: best.last().accuracy,
            joined_and_synced_ms: took,
            moved,
            devices: [&ann, &bob].map(described).into(),
        })?;
    }
    if asked.exit {
        return Ok(());
    }
    say(screen, "\nThey stay up until Ctrl-C. Look around:")?;
    let address = bob.client.address();
    say(screen, &format!("  export MLFLOW_TRACKING_URI=http://{address}"))?;
    let home = bob.client.home().display();
    say(screen, &format!("  runmesh --home {home} runs --order-by 'metrics.accuracy DESC'"))?;
    stage.stay()
}

fn described(device: &Device) -> serde_json::Value {
    json!({
        "name": device.name,
        "tracking_uri": format!("http://{}", device.client.address()),
        "home": device.client.home(),
    })
}

/// Says something to a person; a program waits for the summary.
fn say(screen: &mut Screen, text: &str) -> Result<(), CliError> {
    if screen.is_json() { Ok(()) } else { screen.line(text) }
}

fn step(screen: &mut Screen, number: u32, text: &str) -> Result<(), CliError> {
    let gap = if number == 1 { "" } else { "\n" };
    let text = screen.toned(&format!("{number}. {text}"), Tone::Strong);
    say(screen, &format!("{gap}{text}"))
}

/// How the runs differ: learning rates evenly spread by their logarithm, two strengths of l2.
fn plan(runs: u32) -> Vec<Settings> {
    let (low, high) = LEARNING_RATES;
    let setting = |at: u32| {
        let share = f64::from(at) / f64::from(runs - 1);
        let learning_rate = low * (high / low).powf(share);
        // Few digits, as a person would have written it.
        let learning_rate = format!("{learning_rate:.1e}").parse().unwrap_or(learning_rate);
        Settings { learning_rate, l2: [0.0, 1e-2][at as usize / 2 % 2], epochs: EPOCHS }
    };
    (0..runs).map(setting).collect()
}

/// Trains on both devices at once.
fn train_apart(
    ann: &Device,
    bob: &Device,
    runs: u32,
    screen: &mut Screen,
) -> Result<Vec<Trained>, CliError> {
    let birds = Birds::embedded();
    let (learn, test) = birds.counts();
    let text = format!("Both train on {learn} penguins, test on {test}, and log as MLflow does");
    step(screen, 2, &text)?;
    let plan = plan(runs);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for (at, device) in [ann, bob].into_iter().enumerate() {
            let (sender, birds, plan) = (sender.clone(), &birds, &plan);
            scope.spawn(move || {
                let mine = plan.iter().skip(at).step_by(2);
                for result in train_on(device, birds, mine.copied()) {
                    // Nobody hears it once the other device has failed.
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut all = Vec::new();
        for trained in results {
            let trained = trained?;
            let line = trained.line();
            say(screen, &line)?;
            all.push(trained);
        }
        Ok(all)
    })
}

/// Trains and logs on one device, one model after the other, until one fails.
fn train_on<'a>(
    device: &'a Device,
    birds: &'a Birds,
    plan: impl Iterator<Item = Settings> + 'a,
) -> impl Iterator<Item = Result<Trained, CliError>> + 'a {
    let mlflow = Mlflow::of(device);
    plan.map(move |settings| {
        let experiment = mlflow.set_experiment(EXPERIMENT)?;
        train_one(&mlflow, device.name, birds, &experiment, settings)
    })
}

fn train_one(
    mlflow: &Mlflow,
    device: &'static str,
    birds: &Birds,
    experiment: &str,
    settings: Settings,
) -> Result<Trained, CliError> {
    let params = [
        ("model", "softmax regression".to_owned()),
        ("learning_rate", settings.learning_rate.to_string()),
        ("l2", settings.l2.to_string()),
        ("epochs", settings.epochs.to_string()),
    ];
    let name = format!("{device}-lr-{}", settings.learning_rate);
    let run = mlflow.start_run(experiment, &name, &params)?;
    let mut scores = Vec::new();
    let mut unsent = Vec::new();
    let model: Model = train(birds, settings, |epoch, score| {
        scores.push(score);
        unsent.push((epoch, now_ms(), score));
        if unsent.len() < EPOCHS_PER_REQUEST && epoch + 1 < settings.epochs {
            return Ok(());
        }
        mlflow.log_scores(&run, &std::mem::take(&mut unsent))
    })?;
    let model = serde_json::to_vec_pretty(&model).expect("a model is numbers and names");
    mlflow.log_artifact(&run, MODEL_FILE, &model)?;
    mlflow.end_run(&run)?;
    Ok(Trained { device, settings, run, scores, model })
}

impl Trained {
    fn last(&self) -> Score {
        *self.scores.last().expect("there is at least one epoch")
    }

    fn line(&self) -> String {
        let losses: Vec<Value> = self.scores.iter().map(|score| Value(score.loss)).collect();
        format!(
            "  {}  lr {:<6}  {}  loss {:<7}  accuracy {:.1} %",
            self.device,
            self.settings.learning_rate,
            sparkline(&losses, 24),
            number(self.last().loss),
            self.last().accuracy * 100.0
        )
    }
}

/// Joins the devices and waits until they hold the same; returns what moved and how long it took.
fn pair(ann: &Device, bob: &Device, screen: &mut Screen) -> Result<(Traffic, u64), CliError> {
    step(screen, 3, "ann invites, bob joins, and they sync")?;
    let request = InviteRequest {
        name: None,
        role: runmesh_core::api::Role::Writer,
        valid_for_ms: Some(600_000),
        uses: 1,
    };
    let invitation: Invitation = ann.client.post("invite", &request)?;
    say(screen, "  ann: runmesh invite")?;
    let start = Instant::now();
    let ticket = invitation.ticket;
    let short: String = ticket.chars().take(24).collect();
    say(screen, &format!("  bob: runmesh join {short}…"))?;
    let request =
        JoinRequest { ticket, leave_behind: false, unmet: false, name: None, through: Vec::new() };
    let _: Joined = bob.client.post("join", &request)?;
    say(screen, "  bob: runmesh sync --wait")?;
    let timeout_ms = u64::try_from(SYNC_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    for device in [bob, ann] {
        let _: SyncReport = device.client.post("sync", &SyncRequest { timeout_ms })?;
    }
    let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status: Status = bob.client.get("status", &[])?;
    Ok((status.traffic, took))
}

/// Shows the runs as both devices hold them, the best first; returns the best.
fn show_same<'a>(
    trained: &'a [Trained],
    on_ann: &Holding,
    on_bob: &Holding,
    screen: &mut Screen,
) -> Result<&'a Trained, CliError> {
    step(screen, 4, "What each device holds now, the best first")?;
    let mut ranked: Vec<&Trained> = trained.iter().collect();
    let rank = |trained: &&Trained| (-trained.last().accuracy, trained.last().loss);
    ranked.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    if !screen.is_json() {
        let rows = ranked.iter().map(|trained| {
            let held = |holding: &Holding| {
                let held = trained.run.id.parse().ok().and_then(|id| holding.get(&id));
                holding_cell(held)
            };
            vec![
                cell(&trained.run.id[..10]),
                Cell::new(trained.device),
                right(trained.settings.learning_rate),
                right(trained.settings.l2),
                held(on_ann),
                held(on_bob),
            ]
        });
        let head = ["run", "trained on", "lr", "l2", "accuracy on ann", "accuracy on bob"];
        screen.table(&head, rows.collect::<Vec<_>>())?;
    }
    Ok(ranked[0])
}

/// What one device says of a run: its accuracy, and whether the model is there.
fn holding_cell(run: Option<&RunDetails>) -> Cell {
    let Some(run) = run else { return toned(right("missing"), Tone::Bad) };
    let accuracy = run.run.metrics.get("accuracy").map_or(f64::NAN, |value| value.0 * 100.0);
    let has_model = run.artifacts.iter().any(|artifact| {
        artifact.path == MODEL_FILE && artifact.file.as_ref().is_some_and(|file| file.here)
    });
    match has_model {
        true => right(format!("{accuracy:.1} % + model")),
        false => toned(right(format!("{accuracy:.1} %, no model")), Tone::Bad),
    }
}

/// Reads the best model back from both devices, as a script would.
fn same_bytes(best: &Trained, ann: &Device, bob: &Device) -> Result<(), CliError> {
    for device in [ann, bob] {
        if Mlflow::of(device).artifact(&best.run, MODEL_FILE)? != best.model {
            let difference = format!("{} has another {MODEL_FILE} than was logged", device.name);
            return Err(CliError::NotTheSame { difference });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_spreads_learning_rates_over_both_devices() {
        let plan = plan(6);
        assert_eq!(plan.len(), 6);
        assert!(plan.windows(2).all(|pair| pair[0].learning_rate < pair[1].learning_rate));
        assert_eq!(plan[0].learning_rate, LEARNING_RATES.0);
        assert_eq!(plan[5].learning_rate, LEARNING_RATES.1);
        // Each device tries both strengths.
        let l2 = |from: usize| plan.iter().skip(from).step_by(2).any(|setting| setting.l2 > 0.0);
        assert!(l2(0) && l2(1));
    }
}
