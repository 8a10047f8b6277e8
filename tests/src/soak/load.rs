//! Clients: patient ones, slow ones, ones that vanish, and ones that send nonsense.

use super::{
    clock::Clock,
    ledger::{Ledger, Verdict},
    random::Random,
    requests::{Ask, INSIDE},
};
use crate::wire::{Answer, Wire};
use std::{
    io, thread,
    time::{Duration, Instant},
};

/// Rest between two requests of a client: the load shall be steady, not all that the machine can bear.
const REST_MS: usize = 60;

/// Asks until `end`.
pub(super) fn client(port: u16, mut random: Random, asks: &[Ask], ledger: &Ledger, clock: &Clock, end: Instant) {
    while Instant::now() < end {
        let ask = random.pick(asks);
        let asked = Instant::now();
        ledger.sent();
        match random.below(20) {
            0 => vanish(port, &mut random, ask, false, ledger),
            1 => vanish(port, &mut random, ask, true, ledger),
            2 => nonsense(port, &mut random, ask, ledger),
            3 => judge(ask, asked, slowly(port, &mut random, ask), ledger, clock),
            _ => judge(ask, asked, super::requests::ask(port, &ask.bytes), ledger, clock),
        }
        thread::sleep(Duration::from_millis(random.below(REST_MS) as u64));
    }
}

/// Compares an answer with what it should be, and writes down what that means.
pub(super) fn judge(ask: &Ask, asked: Instant, answer: io::Result<Answer>, ledger: &Ledger, clock: &Clock) {
    let (mut verdict, words) = verdict(ask, &answer);
    // Excuses everything but wrong bytes.
    if verdict.is_offence() && verdict != Verdict::Corrupted && clock.stood_still_since(asked) {
        verdict = Verdict::StoodStill;
    }
    if let Some(status) = answer.ok().map(|answer| answer.status).filter(|status| *status != 200) {
        ledger.error(status);
    }
    ledger.verdict(verdict, || format!("{}: {words}", ask.what));
}

/// And what it looked like.
fn verdict(ask: &Ask, answer: &io::Result<Answer>) -> (Verdict, String) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Verdict::Lost, error.to_string()),
    };
    let Answer { status, complete, body, .. } = answer;
    let expected = &ask.expected.body;
    if *status != 200 {
        let verdict = if is_clean(ask, answer) { Verdict::CleanError } else { Verdict::Unclean };
        return (verdict, format!("{status} {}", answer.text()));
    }
    let breaks_off = match complete {
        true => ask.is_streamed && is_told_in_the_stream(expected, body),
        false => expected.starts_with(body),
    };
    let verdict = match breaks_off {
        _ if *complete && body == expected => Verdict::Right,
        // Only a process that ends cuts a stream off.
        true if ask.is_streamed && ask.uid != INSIDE => Verdict::Cut,
        true => Verdict::Lost,
        false => Verdict::Corrupted,
    };
    (verdict, format!("{} of {} bytes, complete: {complete}", body.len(), expected.len()))
}

/// Whether a refusal is one that faults excuse, and says so in both clients' words.
fn is_clean(ask: &Ask, answer: &Answer) -> bool {
    let body = answer.json();
    let message = body["error"]["message"].as_str();
    let is_told = answer.complete && message.is_some_and(|message| !message.is_empty() && body["detail"] == message);
    // Nothing that happens to processes touches the model inside; outside, 404 is while an operator launches it again.
    let excused: &[u16] = if ask.uid == INSIDE { &[429] } else { &[404, 429, 503, 504] };
    is_told && excused.contains(&answer.status)
}

/// Server-sent events that end with an error, and were right before it.
fn is_told_in_the_stream(expected: &[u8], body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let Some(at) = text.rfind("data: {\"error\":") else { return false };
    expected.starts_with(&body[..at])
}

/// Reads with pauses, through a small window.
fn slowly(port: u16, random: &mut Random, ask: &Ask) -> io::Result<Answer> {
    let mut wire = Wire::connect(port)?.with_small_window();
    let half = ask.bytes.len() / 2;
    let _ = wire.send(&ask.bytes[..half]);
    thread::sleep(Duration::from_millis(random.below(500) as u64));
    let _ = wire.send(&ask.bytes[half..]);
    thread::sleep(Duration::from_millis(random.below(1500) as u64));
    wire.answer()
}

/// Leaves in the middle of the request or of the answer, with or without a goodbye.
fn vanish(port: u16, random: &mut Random, ask: &Ask, is_reading: bool, ledger: &Ledger) {
    let outcome = (|| -> io::Result<()> {
        let mut wire = Wire::connect(port)?;
        if is_reading {
            let _ = wire.send(&ask.bytes);
            thread::sleep(Duration::from_millis(random.below(300) as u64));
        } else {
            let _ = wire.send(&ask.bytes[..random.below(ask.bytes.len())]);
        }
        if random.below(2) == 0 {
            wire.reset();
        }
        Ok(())
    })();
    match outcome {
        Ok(()) => ledger.verdict(Verdict::Client, String::new),
        Err(error) => ledger.verdict(Verdict::Lost, || format!("{}: no connection: {error}", ask.what)),
    }
}

/// Damages the request. Whatever the server makes of it, it answers or hangs up.
fn nonsense(port: u16, random: &mut Random, ask: &Ask, ledger: &Ledger) {
    let mut damaged = ask.bytes.clone();
    for _ in 0..1 + random.below(12) {
        let at = random.below(damaged.len());
        damaged[at] = random.next() as u8;
    }
    let outcome = Wire::connect(port).and_then(|mut wire| {
        let _ = wire.send(&damaged);
        wire.finish_sending();
        wire.answer()
    });
    match outcome {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            ledger.verdict(Verdict::Lost, || format!("nonsense gets no answer: {error}"));
        }
        _ => ledger.verdict(Verdict::Client, String::new),
    }
}
