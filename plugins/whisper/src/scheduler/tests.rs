use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::model::TokenModel;

const PANIC: u32 = 666;
const TOO_LARGE: u32 = 1000;

/// Logits are the sum of what a session was fed. Writes down its turns, and stands still where a test says so.
#[derive(Default)]
struct Sums {
    /// Sessions of a turn of steps, or `0` for an encoded window.
    turns: Mutex<Vec<usize>>,
    /// Turns begun.
    begun: AtomicUsize,
    /// Each turn waits for a word from here, if there is something.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
}

struct Sum {
    sum: f32,
    fed: usize,
}

impl Sums {
    fn log(&self, turn: usize) {
        self.turns.lock().unwrap().push(turn);
        self.begun.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = &*gate {
            gate.recv().ok();
        }
    }
}

impl TokenModel for Sum {
    fn vocab_size(&self) -> usize {
        1
    }
    fn context(&self) -> usize {
        448
    }
    fn beams(&self) -> usize {
        1
    }
    fn fed(&self) -> usize {
        self.fed
    }
    fn forward(&mut self, tokens: &[u32], _: &[usize], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        self.fed += tokens.len();
        self.sum += tokens.iter().sum::<u32>() as f32;
        *logits = vec![self.sum];
        Ok(())
    }
    fn reorder(&mut self, _: &[usize]) -> Result<(), ModelError> {
        Ok(())
    }
}

impl Network for Sums {
    type Audio = f32;
    type Session = Sum;
    type Work = ();

    fn windows_at_once(&self) -> usize {
        1
    }
    fn encode(&self, windows: &[Vec<f32>]) -> Vec<Result<Arc<f32>, ModelError>> {
        self.log(0);
        windows
            .iter()
            .map(|mel| {
                assert!(!mel.is_empty(), "an empty window");
                Ok(Arc::new(mel[0]))
            })
            .collect()
    }
    fn session(self: &Arc<Self>, audio: &Arc<f32>) -> Sum {
        Sum { sum: **audio, fed: 0 }
    }
    fn cross_attention(
        self: &Arc<Self>,
        _: &Arc<f32>,
        tokens: &[u32],
        _: &[(usize, usize)],
    ) -> Result<CrossAttention, ModelError> {
        Ok(CrossAttention { scores: Vec::new(), frames: 0, logits: vec![tokens.len() as f32] })
    }
    fn check(_: &Sum, tokens: &[u32], _: &[usize]) -> Result<(), ModelError> {
        match tokens.iter().find(|token| **token >= TOO_LARGE) {
            Some(token) => Err(ModelError::UnknownToken { token: *token, vocab: TOO_LARGE as usize }),
            None => Ok(()),
        }
    }
    fn forward(&self, (): &mut (), steps: &mut [&mut Step<Sum>]) -> Result<(), ModelError> {
        self.log(steps.len());
        for step in steps {
            assert!(!step.tokens.contains(&PANIC), "token {PANIC}");
            step.session.forward(&step.tokens, &step.positions, &mut step.logits)?;
        }
        Ok(())
    }
}

fn scheduler() -> Scheduler<Sums> {
    Scheduler::new(Arc::new(Sums::default()))
}

fn audio(value: f32) -> Arc<f32> {
    Arc::new(value)
}

impl Scheduler<Sums> {
    /// Makes turns wait for a word.
    fn gated(self) -> (Self, mpsc::Sender<()>) {
        let (open, gate) = mpsc::channel();
        *self.network.gate.lock().unwrap() = Some(gate);
        (self, open)
    }

    fn begun(&self) -> usize {
        self.network.begun.load(Ordering::SeqCst)
    }

    /// Waits until something is so.
    fn until(&self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn waiting(&self) -> (usize, usize) {
        let desk = self.desk();
        (desk.windows.len(), desk.steps.len())
    }

    fn turns(&self) -> Vec<usize> {
        self.network.turns.lock().unwrap().clone()
    }
}

/// Feeds one token and gives the sum.
fn feed(session: &mut SharedSession<'_, Sums>, token: u32) -> Result<f32, ModelError> {
    let mut logits = Vec::new();
    session.forward(&[token], &[0], &mut logits).map(|()| logits[0])
}

#[test]
fn a_job_alone_takes_turns_of_its_own() {
    let scheduler = scheduler();
    let windows = scheduler.encode(vec![vec![1.0], vec![2.0]]).unwrap();
    assert_eq!((*windows[0], *windows[1]), (1.0, 2.0));
    let mut session = scheduler.session(&windows[1]);
    assert_eq!(feed(&mut session, 3), Ok(5.0));
    assert_eq!(feed(&mut session, 4), Ok(9.0));
    assert_eq!(session.fed(), 2);
    let attended = scheduler.cross_attention(&windows[0], vec![1, 2], Vec::new()).unwrap();
    assert_eq!(attended.logits, [2.0]);
    assert_eq!(scheduler.turns(), [0, 0, 1, 1]);
}

#[test]
fn steps_that_wait_are_one_turn() {
    let (scheduler, open) = scheduler().gated();
    thread::scope(|scope| {
        let job = |start: f32, steps: u32| {
            let scheduler = &scheduler;
            move || {
                let mut session = scheduler.session(&audio(start));
                (1..=steps).map(|token| feed(&mut session, token).unwrap()).collect::<Vec<_>>()
            }
        };
        let first = scope.spawn(job(0.0, 1));
        scheduler.until(|scheduler| scheduler.begun() == 1);
        let others: Vec<_> = (1..=3).map(|i| scope.spawn(job(100.0 * i as f32, 2))).collect();
        scheduler.until(|scheduler| scheduler.waiting() == (0, 3));
        (0..9).for_each(|_| open.send(()).unwrap());
        assert_eq!(first.join().unwrap(), [1.0]);
        for (i, other) in (1..=3).zip(others) {
            assert_eq!(other.join().unwrap(), [100.0 * i as f32 + 1.0, 100.0 * i as f32 + 3.0]);
        }
    });
    assert_eq!(scheduler.turns()[..2], [1, 3]);
    assert_eq!(scheduler.turns().iter().sum::<usize>(), 7);
    assert!(!scheduler.desk().is_led, "nobody leads where nobody waits");
}

#[test]
fn windows_and_steps_take_turns() {
    let (scheduler, open) = scheduler().gated();
    thread::scope(|scope| {
        let window = || scheduler.encode(vec![vec![1.0]]).unwrap();
        scope.spawn(window);
        scheduler.until(|scheduler| scheduler.begun() == 1);
        // While a window is encoded, three more come, and two steps.
        (0..3).for_each(|_| drop(scope.spawn(window)));
        for _ in 0..2 {
            scope.spawn(|| feed(&mut scheduler.session(&audio(0.0)), 1).unwrap());
        }
        scheduler.until(|scheduler| scheduler.waiting() == (3, 2));
        open.send(()).unwrap();
        // While the steps are computed, another one comes: it waits for the windows.
        scheduler.until(|scheduler| scheduler.begun() == 2);
        scope.spawn(|| feed(&mut scheduler.session(&audio(0.0)), 1).unwrap());
        scheduler.until(|scheduler| scheduler.waiting() == (3, 1));
        (0..9).for_each(|_| open.send(()).unwrap());
    });
    assert_eq!(scheduler.turns(), [0, 2, 0, 0, 0, 1]);
}

#[test]
fn a_panic_is_the_result_of_its_turn_alone() {
    let (scheduler, open) = scheduler().gated();
    thread::scope(|scope| {
        let start = scope.spawn(|| scheduler.encode(vec![vec![1.0]]).map(|windows| windows.len()));
        scheduler.until(|scheduler| scheduler.begun() == 1);
        let job = |token: u32| {
            let scheduler = &scheduler;
            move || {
                let mut session = scheduler.session(&audio(0.0));
                (feed(&mut session, token), feed(&mut session, 1).is_ok())
            }
        };
        let (guilty, beside) = (scope.spawn(job(PANIC)), scope.spawn(job(1)));
        scheduler.until(|scheduler| scheduler.waiting() == (0, 2));
        let empty = scope.spawn(|| scheduler.encode(vec![Vec::new()]));
        let full = scope.spawn(|| scheduler.encode(vec![vec![7.0]]));
        scheduler.until(|scheduler| scheduler.waiting() == (2, 2));
        (0..9).for_each(|_| open.send(()).unwrap());
        assert_eq!(start.join().unwrap(), Ok(1));
        let panicked = Err(ModelError::Panicked("token 666".to_owned()));
        assert_eq!(guilty.join().unwrap().0, panicked);
        let beside = beside.join().unwrap();
        assert_eq!(beside.0, panicked, "in the same turn");
        assert!(beside.1, "the next turn is another one");
        assert_eq!(empty.join().unwrap(), Err(ModelError::Panicked("an empty window".to_owned())));
        assert_eq!(full.join().unwrap(), Ok(vec![audio(7.0)]));
    });
    assert_eq!(feed(&mut scheduler.session(&audio(1.0)), 1), Ok(2.0));
}

#[test]
fn a_mistake_is_found_before_the_turn() {
    let scheduler = scheduler();
    let mut session = scheduler.session(&audio(1.0));
    let unknown = ModelError::UnknownToken { token: TOO_LARGE, vocab: TOO_LARGE as usize };
    assert_eq!(feed(&mut session, TOO_LARGE), Err(unknown));
    assert_eq!(feed(&mut session, 1), Ok(2.0), "the session is as it was");
    assert_eq!(scheduler.turns(), [1]);
    assert_eq!(scheduler.lane().feed(&mut Vec::new()), Ok(()));
}

#[test]
fn nobody_waits_for_long_for_a_job_that_does_not_come_back() {
    let scheduler = scheduler();
    let (mut slow, mut gone, mut other) =
        (scheduler.session(&audio(0.0)), scheduler.session(&audio(0.0)), scheduler.session(&audio(0.0)));
    feed(&mut gone, 1).unwrap();
    assert_eq!(scheduler.desk().away, 1);
    drop(gone);
    assert_eq!(scheduler.desk().away, 0, "who stops is not waited for at all");
    feed(&mut slow, 1).unwrap();
    for sum in 1..4 {
        assert_eq!(feed(&mut other, 1), Ok(sum as f32));
    }
    // Late, but with the right turn's number it would have been counted.
    assert_eq!(scheduler.desk().away, 1, "the other one");
    assert_eq!(feed(&mut slow, 1), Ok(2.0));
    drop(slow);
    drop(other);
    assert_eq!(scheduler.desk().away, 0);
}

#[test]
fn many_jobs_get_what_is_theirs() {
    let scheduler = scheduler();
    thread::scope(|scope| {
        for job in 0..8_u32 {
            let scheduler = &scheduler;
            scope.spawn(move || {
                for window in 0..20_u32 {
                    let start = (100 * job + window) as f32;
                    let windows = scheduler.encode(vec![vec![start]]).unwrap();
                    let mut session = scheduler.session(&windows[0]);
                    for step in 1..=window % 7 {
                        assert_eq!(feed(&mut session, 1), Ok(start + step as f32));
                    }
                }
            });
        }
    });
    let desk = scheduler.desk();
    assert!(!desk.is_led && desk.away == 0 && desk.windows.is_empty() && desk.steps.is_empty());
}
