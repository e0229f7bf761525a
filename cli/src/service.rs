//! `runmesh service`: has systemd keep a daemon running.
//!
//! Invariant: the unit lets the daemon write to its home and nowhere else, as far as systemd can
//! see to that; where systemd does not run, the unit is written all the same, and what is left to
//! do is said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runmesh_daemon::home;
use serde_json::json;

use crate::args::Service;
use crate::error::CliError;
use crate::screen::{Screen, note};
use crate::up::command_for;

/// What the unit is called.
const UNIT: &str = "runmesh.service";
/// Where units of the whole system are.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// The home of the system's daemon, under /var/lib.
const STATE: &str = "runmesh";
/// Where systemd is, if it runs.
const RUNNING: &str = "/run/systemd/system";

/// What holds for any unit: enough time for the last seal, and none for a second daemon.
const COMMON: &str = "\
Type=exec
Restart=on-failure
RestartSec=5
TimeoutStopSec=60
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
LimitNOFILE=1048576
";

/// What only the system's manager can see to.
const SANDBOX: &str = "\
DynamicUser=yes
StateDirectory=runmesh
StateDirectoryMode=0700
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictNamespaces=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
";

/// Writes the unit and, where systemd runs, starts it.
pub(crate) fn install(home: &Path, asked: &Service, screen: &mut Screen) -> Result<(), CliError> {
    let program = std::env::current_exe()?;
    let (unit, home) = if asked.system {
        (system_unit(&program), Path::new("/var/lib").join(STATE))
    } else {
        let home = std::path::absolute(home)?;
        if home::is_in_use(&home)? {
            return Err(CliError::HomeRuns { home });
        }
        (user_unit(&program, &home), home)
    };
    let path = unit_path(asked.system)?;
    let failed = |source| CliError::File { doing: "write", path: path.clone(), source };
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    let failed = |source| CliError::File { doing: "write", path: path.clone(), source };
    fs::write(&path, unit).map_err(failed)?;
    let steps: [&[&str]; 2] = [&["daemon-reload"], &["enable", "--now", UNIT]];
    let started = steps.iter().all(|step| systemctl(asked.system, step));
    if screen.is_json() {
        let path = path.display().to_string();
        return screen.json(&json!({ "unit": path, "home": home, "started": started }));
    }
    screen.facts([("unit", path.display().to_string()), ("home", home.display().to_string())])?;
    if started {
        screen.line("runmesh runs, and will after a restart of the machine")?;
    } else {
        for step in steps {
            note(&format!("next: systemctl {}{}", flag(asked.system), step.join(" ")));
        }
    }
    note(&match asked.system {
        true => format!("ask it as root: {} status", command_for(&home)),
        false => "to have it run while you are not logged in: loginctl enable-linger".to_owned(),
    });
    Ok(())
}

/// Stops the unit and removes it. The home stays.
pub(crate) fn uninstall(asked: &Service, screen: &mut Screen) -> Result<(), CliError> {
    let path = unit_path(asked.system)?;
    let stopped = systemctl(asked.system, &["disable", "--now", UNIT]);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(CliError::File { doing: "remove", path, source }),
        Ok(()) => true,
    };
    let reloaded = systemctl(asked.system, &["daemon-reload"]);
    if screen.is_json() {
        let path = path.display().to_string();
        return screen.json(&json!({ "unit": path, "removed": removed, "stopped": stopped }));
    }
    screen.line(&match removed {
        true => format!("{} is removed; the home stays", path.display()),
        false => format!("there is no {}", path.display()),
    })?;
    if removed && !(stopped && reloaded) {
        note(&format!("next, if it runs: systemctl {}stop {UNIT}", flag(asked.system)));
    }
    Ok(())
}

const fn flag(system: bool) -> &'static str {
    if system { "" } else { "--user " }
}

/// Asks systemd for something. Returns whether it was there and did it.
fn systemctl(system: bool, arguments: &[&str]) -> bool {
    if !Path::new(RUNNING).is_dir() {
        return false;
    }
    let mut command = Command::new("systemctl");
    if !system {
        command.arg("--user");
    }
    let status = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn unit_path(system: bool) -> Result<PathBuf, CliError> {
    if system {
        return Ok(Path::new(SYSTEM_UNITS).join(UNIT));
    }
    let folder = match std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").ok_or(home::HomeError::NoDataFolder)?)
            .join(".config"),
    };
    Ok(folder.join("systemd/user").join(UNIT))
}

fn user_unit(program: &Path, home: &Path) -> String {
    unit(program, home, "", "default.target")
}

fn system_unit(program: &Path) -> String {
    unit(program, &Path::new("/var/lib").join(STATE), SANDBOX, "multi-user.target")
}

fn unit(program: &Path, home: &Path, sandbox: &str, wanted_by: &str) -> String {
    let (program, home) = (quoted(program), quoted(home));
    format!(
        "[Unit]\n\
         Description=runmesh, peer-to-peer experiment tracking\n\
         After=network.target\n\
         \n\
         [Service]\n\
         ExecStart={program} --home {home} up\n\
         {COMMON}{sandbox}\
         \n\
         [Install]\n\
         WantedBy={wanted_by}\n"
    )
}

/// A path as systemd reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word_and_names_no_variable() {
        let path = Path::new("/home/a b/100% \"$HOME\"\\x");
        assert_eq!(quoted(path), r#""/home/a b/100%% \"$$HOME\"\\x""#);
    }

    #[test]
    fn units_name_the_program_and_the_home_and_shut_the_rest_off() {
        let user = user_unit(Path::new("/usr/bin/runmesh"), Path::new("/home/ann/lab"));
        assert!(user.contains("\nExecStart=\"/usr/bin/runmesh\" --home \"/home/ann/lab\" up\n"));
        assert!(user.contains("\nWantedBy=default.target\n") && !user.contains("DynamicUser"));
        let system = system_unit(Path::new("/usr/bin/runmesh"));
        assert!(system.contains("--home \"/var/lib/runmesh\" up\n"));
        for line in
            ["DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=yes", "StateDirectory=runmesh"]
        {
            assert!(system.lines().any(|held| held == line), "{line}");
        }
        for unit in [user, system] {
            assert!(unit.lines().any(|line| line == "NoNewPrivileges=yes"));
            assert!(
                unit.lines()
                    .all(|line| line.is_empty() || line.starts_with('[') || line.contains('='))
            );
        }
    }
}
