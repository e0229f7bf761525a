//! Clocks that are wrong: what of it this device sees, in sentences.
//!
//! Order hangs on the hybrid clock, which a clock that is far ahead does not drag along; so a wrong
//! clock harms little, but times that people read are wrong, and it should be set right.

use runmesh_core::clock::{Clock, UnixMillis};
use runmesh_core::ids::{DeviceId, JournalId};
use runmesh_core::membership::Membership;

const HOUR_MS: u64 = 3_600_000;

/// What a person should know of the clocks of devices, by when each sealed last.
pub(crate) fn warnings(
    own: &DeviceId,
    members: &Membership,
    last: &[(JournalId, Clock)],
    now: UnixMillis,
) -> Vec<String> {
    let others = || last.iter().filter(|(journal, _)| journal.device != *own);
    let is_ahead = |(_, clock): &&(JournalId, Clock)| clock.is_too_far_ahead(now);
    let ahead: Vec<&(JournalId, Clock)> = others().filter(is_ahead).collect();
    let hours = |clock: &Clock| clock.millis().saturating_sub(now.0) / HOUR_MS;
    // Where two and more are ahead and nobody is not, it is this one that is behind.
    if ahead.len() > 1 && ahead.len() == others().count() {
        let least = ahead.iter().map(|(_, clock)| hours(clock)).min().unwrap_or_default();
        return vec![format!(
            "the clocks of all other devices are {least} hours ahead of this one's: it is this one \
             that is wrong; set it right"
        )];
    }
    let all = last.iter().filter(is_ahead);
    all.map(|(journal, clock)| {
        let member = members.member(&journal.device).map(|member| member.name.clone());
        let name = member.filter(|name| !name.is_empty());
        let device = name.unwrap_or_else(|| journal.device.short());
        format!("the clock of device {device} is {} hours ahead; set it right", hours(clock))
    })
    .collect()
}

/// By how many milliseconds the clock of the device that is furthest ahead is ahead.
pub(crate) fn furthest_ahead_ms(last: &[(JournalId, Clock)], now: UnixMillis) -> u64 {
    let ahead = last.iter().map(|(_, clock)| clock.millis().saturating_sub(now.0));
    ahead.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use runmesh_core::ids::Incarnation;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

    fn sealed(device: u8, at_ms: u64) -> (JournalId, Clock) {
        let device = DeviceId::new([device; 32]);
        let journal = JournalId { device, incarnation: Incarnation::new([0; 16]) };
        (journal, Clock::from_millis(UnixMillis(at_ms)))
    }

    fn said(last: &[(JournalId, Clock)]) -> Vec<String> {
        warnings(&DeviceId::new([1; 32]), &Membership::default(), last, NOW)
    }

    #[test]
    fn a_device_a_year_ahead_is_named() {
        let said = said(&[sealed(1, NOW.0), sealed(2, NOW.0 + YEAR_MS), sealed(3, NOW.0 - 5)]);
        assert_eq!(said, ["the clock of device 0202020202 is 8760 hours ahead; set it right"]);
    }

    #[test]
    fn if_all_others_are_ahead_it_is_this_one_that_is_behind() {
        let later = NOW.0 + YEAR_MS;
        let said = said(&[sealed(1, NOW.0), sealed(2, later), sealed(3, later + HOUR_MS)]);
        assert!(
            matches!(&said[..], [one] if one.contains("8760 hours ahead of this one's")),
            "{said:?}"
        );
    }

    #[test]
    fn minutes_are_nothing_to_speak_of() {
        assert!(said(&[sealed(1, NOW.0), sealed(2, NOW.0 + 10 * 60_000)]).is_empty());
        assert_eq!(furthest_ahead_ms(&[sealed(1, 0), sealed(2, NOW.0 + 7)], NOW), 7);
        assert_eq!(furthest_ahead_ms(&[], NOW), 0);
    }
}
