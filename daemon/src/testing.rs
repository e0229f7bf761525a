//! What tests of several modules write.

use runmesh_core::action::{Action, NewRun};
use runmesh_core::ids::{ExperimentId, RunId};

/// Creates a run that nothing is special about.
pub(crate) fn create_run(id: RunId) -> Action {
    Action::CreateRun(NewRun {
        id,
        experiment: ExperimentId::DEFAULT,
        name: "run".to_owned(),
        user: String::new(),
        start_ms: 5,
        tags: Vec::new(),
        description: None,
    })
}
