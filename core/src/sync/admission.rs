//! Who is not let in at the door, and what it hears there.

use super::message::{Farewell, FirstEntry, Message};
use crate::act::{Act, ActKind};
use crate::clock::UnixMillis;
use crate::entry::UnverifiedEntry;
use crate::ids::{JournalId, WorkspaceId};
use crate::membership::{JoinRefusal, Membership};
use crate::operation::{Operation, OperationKind};

/// What a device is told that is no member and shows no join, or asks for a workspace that is not
/// here.
pub(super) const NOT_A_MEMBER: &str = "this device is not a member";

/// The goodbye to a stranger that names a workspace which is not here: it hears what it would hear if
/// the workspace were here and did not know it.
pub fn turned_away(first: Option<&FirstEntry>) -> Message {
    let text = match first {
        Some(_) => JoinRefusal::UnknownTicket.to_string(),
        None => NOT_A_MEMBER.to_owned(),
    };
    Message::Bye { farewell: Farewell::NotAMember, text }
}

/// Why a stranger's join, the first entry of its journal, is not let in here and now, by what is known
/// here.
///
/// Of two joins by one ticket that meet later, the set of acts decides; but to who comes to this door
/// with a ticket that is used up or has ended, it is closed.
pub(super) fn refusal(
    membership: &Membership,
    workspace: WorkspaceId,
    now: UnixMillis,
    journal: JournalId,
    stored: &[u8],
) -> Option<JoinRefusal> {
    let entry = UnverifiedEntry::decode(journal, 0, stored).ok()?;
    let join = entry.operations().iter().find_map(|operation| match operation {
        Operation::Whole { kind, content, .. } if *kind == OperationKind::Act as u8 => {
            let act = Act::decode(content).ok()??;
            matches!(act.kind, ActKind::Join { .. }).then_some(act.kind)
        }
        _ => None,
    })?;
    membership.may_join(workspace, &journal.device, &join, now.0).err()
}
