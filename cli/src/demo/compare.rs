//! Whether two devices hold the same, as the people who use them would see it.

use std::collections::BTreeMap;

use runmesh_core::api::{FoundRuns, RunDetails, RunSearch};
use runmesh_core::ids::RunId;

use crate::demo::stage::Device;
use crate::error::CliError;

/// All runs of a device, with all that is known of them.
pub(crate) type Holding = BTreeMap<RunId, RunDetails>;

/// Reads all runs of a device.
pub(crate) fn holding(device: &Device) -> Result<Holding, CliError> {
    let search = RunSearch { limit: 50_000, ..Default::default() };
    let found: FoundRuns = device.client.post("runs/search", &search)?;
    let details = |id: RunId| Ok((id, device.client.get(&format!("runs/{id}"), &[])?));
    found.runs.iter().map(|run| details(run.id)).collect()
}

/// The first difference between two devices, if there is one.
pub(crate) fn difference(ann: &Holding, bob: &Holding) -> Option<String> {
    let missing = |held: &Holding, other: &Holding| {
        held.keys().find(|id| !other.contains_key(id)).map(|id| format!("run {id} is on one only"))
    };
    if let Some(missing) = missing(ann, bob).or_else(|| missing(bob, ann)) {
        return Some(missing);
    }
    ann.iter().find_map(|(id, on_ann)| {
        let on_bob = &bob[id];
        let all = || on_ann.artifacts.iter().chain(&on_bob.artifacts);
        if let Some(away) = all().find(|artifact| artifact.file.as_ref().is_none_or(|f| !f.here)) {
            return Some(format!("the bytes of {} of run {id} are on one only", away.path));
        }
        // As text, because a NaN is not equal to itself.
        let text = |details| serde_json::to_string::<RunDetails>(details).expect("it was JSON");
        (text(on_ann) != text(on_bob)).then(|| format!("run {id} differs"))
    })
}
