//! Tickets: `invite` and `recovery`.

use std::io::{self, IsTerminal};

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use runmesh_core::api::{Invitation, InviteRequest, RecoveryTicket};

use crate::args;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::{Screen, note};
use crate::text::{clean, count, moment};

/// Prints a ticket; what is to be known about it goes to standard error.
pub(crate) fn invite(
    client: &Client,
    invite: &args::Invite,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = InviteRequest {
        role: invite.role.into(),
        valid_for_ms: invite.expires.0,
        uses: invite.uses,
        name: invite.name.clone(),
    };
    let invitation: Invitation = client.post("invite", &request)?;
    if screen.is_json() {
        return screen.json(&invitation);
    }
    show_ticket(&invitation.ticket, screen)?;
    let end = invitation.expires_ms.and_then(|ms| i64::try_from(ms).ok());
    let end = end.map_or("for ever".to_owned(), |ms| format!("until {}", moment(ms)));
    let devices = count(u64::from(invitation.uses), "device", "devices");
    note(&format!("\nGood for {devices}, {end}. It is a key: hand it over like a password."));
    note("On the other device: runmesh join TICKET");
    Ok(())
}

/// Prints the recovery ticket, or has the device forget it.
pub(crate) fn recovery(client: &Client, forget: bool, screen: &mut Screen) -> Result<(), CliError> {
    let kept: RecoveryTicket =
        if forget { client.delete("recovery")? } else { client.get("recovery", &[])? };
    if screen.is_json() {
        return screen.json(&kept);
    }
    match kept.ticket {
        Some(ticket) => {
            show_ticket(&ticket, screen)?;
            note(
                "\nWho joins by it is an admin senior to this device: print it, keep it in a safe",
            );
            note("place, and remove it from this device with `runmesh recovery --forget`.");
            note(
                "If this device is lost: `runmesh join TICKET` on another, then `runmesh remove`.",
            );
            Ok(())
        }
        None if forget => screen.line("this device does not keep its recovery ticket any more"),
        None => {
            note(
                "this device keeps no recovery ticket: it is not the most senior admin, or it was",
            );
            note("told to forget it");
            Ok(())
        }
    }
}

/// Prints a ticket as text and, where a person looks, as a QR code.
fn show_ticket(ticket: &str, screen: &mut Screen) -> Result<(), CliError> {
    screen.line(&clean(ticket))?;
    if io::stderr().is_terminal()
        && let Some(code) = qr_code(ticket)
    {
        note(&format!("\n{code}"));
    }
    Ok(())
}

/// A ticket as a QR code of half blocks; none if it is too long for one.
fn qr_code(ticket: &str) -> Option<String> {
    // Capitals are packed closer, and mean the same.
    let code = QrCode::with_error_correction_level(ticket.to_ascii_uppercase(), EcLevel::L).ok()?;
    // Dark on light is what cameras look for; terminals are mostly the other way round.
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    Some(code.render::<Dense1x2>().dark_color(dark).light_color(light).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_fits_a_terminal_as_a_qr_code() {
        let ticket = format!("runmesh{}", "abcdefghijklmnopqrstuvwxyz234567".repeat(8));
        let code = qr_code(&ticket).expect("not too long");
        assert!(code.lines().all(|line| line.chars().count() <= 80), "{code}");
        assert!(qr_code(&"x".repeat(9000)).is_none());
    }
}
