//! A device as a person at a terminal has it: the real binary, a real daemon, a real home.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A home whose daemon, if one runs, is stopped at the end, however the test ends.
struct Device {
    home: tempfile::TempDir,
}

/// What a command came to.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what we print is UTF-8");
        let code = output.status.code().expect("no signal ended it");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn refused(self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.contains(says), "{}", self.err);
        // An error goes nowhere else.
        assert_eq!(self.out, "");
    }
}

impl Device {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder") }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runmesh"));
        command.env("RUNMESH_HOME", self.home.path()).env_remove("RUNMESH_LOG");
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.command().args(args).output().expect("the binary is there"))
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.run(&args).done()).expect("JSON was asked for")
    }

    /// Starts the daemon on a free port; returns its address.
    fn up(&self, flags: &[&str]) -> String {
        let up = ["up", "--detach", "--http=127.0.0.1:0", "--mdns=false", "--name=ann"];
        let status = self.json(&up.iter().chain(flags).copied().collect::<Vec<_>>());
        status["http"].as_str().expect("an address").to_owned()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It may be down already.
        let _ = self.command().arg("down").output();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into()
}

fn mlflow(address: &str, path: &str, body: &Value) -> Value {
    let url = format!("http://{address}/api/2.0/mlflow/{path}");
    let answer = agent().post(url).send_json(body).expect("the daemon answers");
    assert_eq!(answer.status(), 200);
    answer.into_body().read_json().expect("JSON")
}

/// Logs a run as a training script does; returns its id.
fn log_a_run(address: &str) -> String {
    let experiment = mlflow(address, "experiments/create", &json!({ "name": "fraud" }));
    let new = json!({ "experiment_id": experiment["experiment_id"], "run_name": "first\u{1b}[2J" });
    let run = mlflow(address, "runs/create", &new);
    let id = run["run"]["info"]["run_id"].as_str().expect("an id").to_owned();
    let point = |step: i64| json!({ "key": "loss", "value": 1.0 / (step + 1) as f64, "step": step, "timestamp": step });
    let metrics: Vec<Value> = (0..100).map(point).collect();
    let params = json!([{ "key": "lr", "value": "0.1" }]);
    let batch = json!({ "run_id": id, "metrics": metrics, "params": params });
    mlflow(address, "runs/log-batch", &batch);
    mlflow(address, "runs/update", &json!({ "run_id": id, "status": "FINISHED" }));
    id
}

#[test]
fn a_device_from_its_first_start_to_its_last() {
    let device = Device::new();
    device.run(&["status"]).refused(3, "`runmesh up`");
    device.run(&["sing"]).refused(2, "unrecognized subcommand");

    let address = device.up(&[]);
    let run = log_a_run(&address);
    let status = device.json(&["status"]);
    assert_eq!((&status["runs"], &status["device"]["name"]), (&json!(1), &json!("ann")));

    let pid = status["pid"].to_string();
    device.run(&["up"]).refused(5, &format!("pid {pid}"));
    device.run(&["up", "--detach"]).refused(5, &format!("pid {pid}"));
    Device::new().run(&["up", "--http", &address]).refused(5, "--http 127.0.0.1:");
    Device::new().run(&["up", "-d", "--http", &address]).refused(5, "--http 127.0.0.1:");

    let found = device.json(&["runs", "metrics.loss < 0.02 and params.lr = '0.1'"]);
    assert_eq!(found["runs"][0]["id"], json!(run));
    assert_eq!(device.json(&["runs", "-e", "Default"])["runs"], json!([]));
    let table = device.run(&["runs"]).done();
    assert!(table.contains("first\\u{1b}[2J") && !table.contains('\u{1b}'), "{table}");
    device.run(&["runs", "metrics.loss <"]).refused(2, "metrics.loss < 0.1");
    device.run(&["runs", "-e", "none"]).refused(4, "runmesh experiments");

    let shown = device.json(&["show", &run[..6]]);
    assert_eq!(shown["series"][0]["points"], json!(100));
    assert!(device.run(&["show", &run]).done().contains("▁▁▁"));
    device.run(&["show", &"0".repeat(32)]).refused(4, "runmesh runs");

    device.run(&["down"]).done();
    device.run(&["runs"]).refused(3, "`runmesh up`");
    device.run(&["doctor", "--rebuild"]).done();
    device.up(&[]);
    assert_eq!(device.json(&["runs"]), found, "what was logged is there after a restart");
    device.run(&["doctor", "--rebuild"]).done();
    assert_eq!(device.json(&["runs"]), found);
}

#[test]
fn files_go_to_a_run_and_come_back() {
    let device = Device::new();
    let address = device.up(&[]);
    let run = log_a_run(&address);
    let here = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| here.path().join(name).display().to_string();
    fs::create_dir_all(path("model/layers")).expect("a folder");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|at| (at / 7) as u8).collect();
    fs::write(path("model/layers/1.bin"), &bytes).expect("a file");
    fs::write(path("model/ö ä.txt"), "words").expect("a file");

    device.run(&["artifacts", "put", &run, &path("model")]).done();
    let listed = device.json(&["artifacts", "ls", &run, "--recursive"]);
    let paths: Vec<_> =
        listed.as_array().expect("a list").iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["model/layers/1.bin", "model/ö ä.txt"]);

    let copy = path("copy");
    device.run(&["artifacts", "get", &run, "-o", &copy]).done();
    assert_eq!(fs::read(Path::new(&copy).join("model/layers/1.bin")).expect("a copy"), bytes);
    device.run(&["artifacts", "get", &run, "-o", &copy]).refused(5, "--force");
    device.run(&["artifacts", "get", &run, "-o", &copy, "--force"]).done();
    let words = device.run(&["artifacts", "get", &run, "model/ö ä.txt", "-o", "-"]).done();
    assert_eq!(words, "words");
    device.run(&["artifacts", "get", &run, "nothing"]).refused(4, "artifacts ls");
    device.run(&["artifacts", "put", &run, &path("model/ö ä.txt"), "../x"]).refused(2, "path");
    device.run(&["artifacts", "put", &run, &path("nothing")]).refused(1, "No such file");
}

#[test]
fn the_token_opens_what_is_locked() {
    let device = Device::new();
    let address = device.up(&["--require-token"]);
    let search = format!("http://{address}/api/v1/runs/search");
    let ask = |token: &str| {
        let request = agent().post(&search).header("authorization", format!("Bearer {token}"));
        request.send_json(json!({ "limit": 1 })).expect("the daemon answers").status().as_u16()
    };
    assert_eq!(ask("guess"), 401);
    assert_eq!(ask(device.run(&["token"]).done().trim()), 200);
    device.run(&["runs"]).done();

    // Stopping the daemon demands the token even where reading does not.
    let open = Device::new();
    let stop = format!("http://{}/api/v1/shutdown", open.up(&["--require-token=false"]));
    assert_eq!(agent().post(stop).send_empty().expect("the daemon answers").status(), 401);
    open.run(&["status"]).done();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Device::new().command();
    let output = command.args(["completions", "zsh"]).stdout(writer).output();
    let answer = Answer::of(output.expect("the binary is there"));
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
}

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Device::new().command();
    command.env("TMPDIR", folder.path()).args(["demo", "--exit", "--runs=3", "--json"]);
    let answer = Answer::of(command.output().expect("the binary is there")).done();
    let summary: Value = serde_json::from_str(&answer).expect("JSON was asked for");
    assert_eq!((&summary["same"], &summary["runs"]), (&json!(true), &json!(3)));
    assert!(summary["best_accuracy"].as_f64().expect("a number") > 0.9);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[cfg(unix)]
#[test]
fn a_demo_that_is_told_to_stop_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Device::new().command();
    command.env("TMPDIR", folder.path()).args(["demo", "--runs=1000"]).stdout(Stdio::piped());
    let mut demo = command.spawn().expect("the binary is there");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines();
    // The first model is there: both daemons run, and training goes on.
    assert!(lines.any(|line| line.expect("text").contains("accuracy")));
    let pid = i32::try_from(demo.id()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::TERM)
        .expect("it is ours");
    assert_eq!(demo.wait().expect("it ends").code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}
