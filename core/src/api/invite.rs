//! Tickets: what is asked for, and what is printed.

use serde::{Deserialize, Serialize};

use super::Role;

/// `POST invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InviteRequest {
    /// What the joiner may do.
    #[serde(default = "writer")]
    pub role: Role,
    /// For how long the ticket is good; `None` is for ever.
    pub valid_for_ms: Option<u64>,
    /// How many devices may join by it.
    #[serde(default = "one")]
    pub uses: u32,
    /// What the joiner is called; only of a ticket for one device.
    #[serde(default)]
    pub name: Option<String>,
}

const fn writer() -> Role {
    Role::Writer
}

const fn one() -> u32 {
    1
}

/// The answer to `POST invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invitation {
    /// The ticket. It is a key: who has it can join.
    pub ticket: String,
    /// What the joiner may do.
    pub role: Role,
    /// Until when it is good.
    pub expires_ms: Option<u64>,
    /// How many devices may join by it.
    pub uses: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_may_leave_out_what_has_a_default() {
        let invite: InviteRequest = serde_json::from_str("{\"valid_for_ms\": 5}").expect("one");
        assert_eq!((invite.role, invite.uses), (Role::Writer, 1));
    }
}
