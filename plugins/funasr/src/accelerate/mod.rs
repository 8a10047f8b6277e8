//! Parts of a graph that our own kernels compute faster than ONNX Runtime: found by their shape in the graph, so in any export and in the
//! graphs that are made of checkpoints, and replaced by operators of our own before the runtime sees the graph. Their weights never get into
//! the runtime. What is not found stays as it is, and so do products (and attention, which is made of them) where the processor has no
//! vectors that the kernels are written for; products of bytes where it multiplies them by instructions that the kernels don't use.
//!
//! - [`linear`]: products with constant matrices, their biases and rectifiers; of bytes where the graph is quantised (the sums are the same
//!   to the bit), or where the launch asks for it.
//! - [`memory`]: the FSMN memory, which the runtime convolves one channel at a time between two transpositions.
//! - [`attention`]: scaled dot-product attention, which the runtime computes with all scores in memory.
//! - [`parts`]: queries, keys and values that are parts of one tensor, which need not be copied for our operators.
//! - [`table`]: embeddings, of which the punctuation models have hundreds of megabytes and a request needs a few rows.
//! - [`loops`]: making tokens of frames, for which official exports of models with times loop over frames.
//! - [`head`]: the last product, whose rows of tens of thousands of scores nobody needs in memory to find the largest.

mod attention;
mod head;
mod linear;
mod loops;
mod memory;
mod operators;
mod parts;
mod table;

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use syrinx_plugin_common::kernels::Isa;
use syrinx_plugin_common::onnx::model::{GraphModel, Node, Values};
use syrinx_plugin_common::onnx::operator::OperatorDomain;
use syrinx_plugin_common::onnx::rewrite::Changes;
use syrinx_plugin_common::onnx::{Device, Element, Runtime, Session, SessionOptions};

use crate::error::FunasrError;
pub use head::Head;
pub use loops::Loops;

/// Domain of the operators.
const DOMAIN: &str = "syrinx.funasr";

/// What products of floats are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As the graph says.
    #[default]
    Kept,
    /// Weights are quantised to bytes.
    Int8,
}

/// How networks are run.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    /// Sessions of the runtime.
    pub session: SessionOptions,
    /// Numbers.
    pub precision: Precision,
}

/// A graph's content: in memory, or in a file that is read in place.
enum Content<'a> {
    Memory(&'a [u8]),
    File(Arc<Mmap>),
}

impl Content<'_> {
    /// The content of a file. It gets into memory in small pages: a graph's small tensors lie between the large ones, and each would have two
    /// megabytes around it in memory, too.
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        // SAFETY: a model's file is not changed while it is loaded; whoever does so gets the same as from a broken file.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        // Advice that isn't taken costs memory, nothing else.
        #[cfg(target_os = "linux")]
        drop(map.advise(memmap2::Advice::NoHugePage));
        Some(Content::File(Arc::new(map)))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Content::Memory(bytes) => bytes,
            Content::File(map) => map,
        }
    }

    /// Lets go of what has been read of the file; it comes back when it is read again.
    fn forget(&self) {
        #[cfg(unix)]
        if let Content::File(map) = self {
            // SAFETY: the map is of a file, read only: what is dropped is read again from there.
            let dropped = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // Advice that isn't taken costs memory, nothing else.
            drop(dropped);
        }
    }
}

/// Bytes of weights after which what was read of the file is let go of.
const FORGET_AFTER: usize = 8 << 20;

/// What a graph is made a session for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// To be what it is: the same outputs of the same inputs.
    AsItIs,
    /// To recognise batches: the product that makes the output of this name is cut off, and whatever reads an utterance backwards begins
    /// where the utterance ends, not where the batch does.
    Recognition(&'a str),
}

/// A graph that is ready to run.
#[derive(Debug)]
pub struct Network {
    /// The graph.
    pub session: Session,
    /// The product that made the output that was asked for, if it could be cut off: the session has what goes into it as the output
    /// [`Head::INPUT`] instead.
    pub head: Option<Head>,
    /// What became of its loops.
    pub loops: Loops,
}

/// Makes a session of the graph at `path`, or of `model`, which stands for it.
///
/// # Errors
/// The runtime's, for what is no graph or can't be run.
pub fn session(
    runtime: &Runtime,
    path: &Path,
    model: Option<&[u8]>,
    options: &NetworkOptions,
) -> Result<Session, FunasrError> {
    Ok(network(runtime, path, model, options, Use::AsItIs)?.session)
}

/// The same for the given use.
///
/// # Errors
/// As [`session`].
pub fn network(
    runtime: &Runtime,
    path: &Path,
    model: Option<&[u8]>,
    options: &NetworkOptions,
    usage: Use<'_>,
) -> Result<Network, FunasrError> {
    let content = match model {
        Some(model) => Some(Content::Memory(model)),
        None => Content::open(path),
    };
    if let Some(content) = &content
        && options.session.device == Device::Cpu
        && let Some(made) = accelerated(content, options, usage)
    {
        content.forget();
        // An export that differs in a way that was not foreseen is run as it is.
        if let Ok(session) = runtime.session_with_operators(path, &made.model, made.operators, &options.session) {
            return Ok(Network { session, head: made.head, loops: made.loops });
        }
    }
    let session = match model {
        Some(model) => runtime.session_of(path, model, &options.session)?,
        None => runtime.session(path, &options.session)?,
    };
    Ok(Network { session, head: None, loops: Loops::Left })
}

struct Accelerated {
    model: Vec<u8>,
    operators: OperatorDomain,
    head: Option<Head>,
    loops: Loops,
}

/// Replaces what it can; `None` when there is nothing to gain: nothing that is known in the graph, or no graph at all.
fn accelerated(content: &Content<'_>, options: &NetworkOptions, usage: Use<'_>) -> Option<Accelerated> {
    let isa = Isa::best();
    let mut graph = GraphModel::parse(content.bytes()).ok()?;
    // What lies between the weights is copied now.
    content.forget();
    let weights = Weights { content, isa, precision: options.precision, read: Cell::new(0) };
    let scores = if let Use::Recognition(scores) = usage { Some(scores) } else { None };
    let head = scores.and_then(|scores| {
        let links = graph.links();
        let (product, hidden) = linear::behind(&graph, &links, &weights, scores)?;
        let named = Node::new("", "Identity", Head::INPUT, vec![hidden], vec![Head::INPUT.to_owned()]);
        graph.nodes.push(named);
        graph.replace_output(scores, (Head::INPUT, Element::F32));
        graph.prune();
        Some(Head::new(product, options.session.threads))
    });
    let loops = loops::replace(&mut graph, scores.is_some());
    let links = graph.links();
    let mut changes = Changes::default();
    let memories = memory::replace(&graph, &links, isa, &mut changes);
    let attentions = match isa.has_vectors() {
        true => attention::replace(&graph, &links, isa, &mut changes),
        false => Vec::new(),
    };
    let linears = linear::replace(&graph, &links, &weights, &mut changes);
    let tables = table::replace(&graph, content, &mut changes);
    if changes.is_empty() && head.is_none() && loops != Loops::Replaced {
        return None;
    }
    let operators = operators::domain(linears, memories, attentions, tables).ok()?;
    changes.apply(&mut graph);
    graph.prune();
    parts::ask_the_whole(&mut graph);
    graph.prune();
    graph.is_complete().then(|| Accelerated { model: graph.encode(DOMAIN), operators, head, loops })
}

/// Where weights come from, and what becomes of them.
struct Weights<'a> {
    content: &'a Content<'a>,
    isa: Isa,
    precision: Precision,
    /// Bytes that have been read since something was let go of.
    read: Cell<usize>,
}

impl Weights<'_> {
    /// Notes that `count` bytes have been read.
    fn has_read(&self, count: usize) {
        self.read.set(self.read.get() + count);
        if self.read.get() > FORGET_AFTER {
            self.read.set(0);
            self.content.forget();
        }
    }
}

/// The values of a constant of floats.
fn floats(graph: &GraphModel<'_>, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
    match graph.constant(name)? {
        (shape, Values::F32(values)) => Some((shape, values)),
        _ => None,
    }
}

/// The only value of a constant.
fn scalar(graph: &GraphModel<'_>, name: &str) -> Option<f32> {
    floats(graph, name).and_then(|(_, values)| if let [value] = values[..] { Some(value) } else { None })
}

/// Whole numbers of a constant.
fn integers(graph: &GraphModel<'_>, name: &str) -> Option<Vec<i64>> {
    match graph.constant(name)?.1 {
        Values::I64(values) => Some(values),
        _ => None,
    }
}

/// The axes of a transposition.
fn axes(node: &Node) -> Option<&[i64]> {
    (node.operator == "Transpose").then(|| node.integers.get("perm").map(Vec::as_slice)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts that are found in a graph of the kit: products, memories, attentions.
    fn found(file: &str, isa: Isa) -> [usize; 3] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/funasr/models").join(file);
        let bytes = std::fs::read(path).unwrap();
        let content = Content::Memory(&bytes);
        let graph = GraphModel::parse(&bytes).unwrap();
        let weights = Weights { content: &content, isa, precision: Precision::Kept, read: Cell::new(0) };
        let (links, mut changes) = (graph.links(), Changes::default());
        [
            linear::replace(&graph, &links, &weights, &mut changes).len(),
            memory::replace(&graph, &links, isa, &mut changes).len(),
            attention::replace(&graph, &links, isa, &mut changes).len(),
        ]
    }

    #[test]
    fn official_exports_are_known() {
        for isa in Isa::available() {
            let products = |count: usize| if isa.has_vectors() { count } else { 0 };
            // Three encoder layers with four products; three decoder layers with five and a feed-forward part with two; the last one.
            assert_eq!(found("paraformer-tiny/model.onnx", isa), [products(30), 6, 6]);
            assert_eq!(found("sensevoice-tiny/model.onnx", isa), [products(21), 5, 5]);
            assert_eq!(found("punc-tiny/model.onnx", isa), [products(8), 2, 2]);
        }
    }

    #[test]
    fn queries_keys_and_values_are_not_copied_apart() {
        let isa = Isa::best();
        for (file, splits) in [("paraformer-tiny", 6), ("sensevoice-tiny", 5), ("punc-tiny", 2)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/funasr/models").join(file);
            let bytes = std::fs::read(path.join("model.onnx")).unwrap();
            let mut graph = GraphModel::parse(&bytes).unwrap();
            let count = |graph: &GraphModel<'_>| graph.nodes.iter().filter(|node| node.operator == "Split").count();
            assert_eq!(count(&graph), splits, "{file}");
            let (links, mut changes) = (graph.links(), Changes::default());
            memory::replace(&graph, &links, isa, &mut changes);
            attention::replace(&graph, &links, isa, &mut changes);
            changes.apply(&mut graph);
            graph.prune();
            parts::ask_the_whole(&mut graph);
            graph.prune();
            assert!(graph.is_complete());
            assert_eq!(count(&graph), 0, "{file}");
        }
    }

    #[test]
    fn loops_of_official_exports_are_replaced() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/funasr/models/paraformer-long-tiny");
        let bytes = std::fs::read(path.join("model.onnx")).unwrap();
        let mut graph = GraphModel::parse(&bytes).unwrap();
        assert_eq!(loops::replace(&mut graph, true), Loops::Replaced);
        assert!(graph.is_complete());
        let count = |operator: &str| graph.nodes.iter().filter(|node| node.operator == operator).count();
        assert_eq!([count("Loop"), count(loops::TOKENS), count(loops::PEAKS), count("LSTM")], [0, 1, 1, 1]);
        let lstm = graph.nodes.iter().find(|node| node.operator == "LSTM").unwrap();
        assert_eq!(lstm.inputs[4], "speech_lengths·3");

        // Loops that are something else stay.
        let mut graph = GraphModel::parse(&bytes).unwrap();
        graph.cut(&[], &[("logits", Element::F32)]);
        let before = graph.nodes.len();
        assert_eq!((loops::replace(&mut graph, true), graph.nodes.len()), (Loops::Left, before));
    }

    #[test]
    fn padding_is_kept_from_predictors_without_times() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/funasr/models");
        for (model, masked) in [("paraformer-tiny", 2), ("paraformer-hotword-tiny", 2), ("sensevoice-tiny", 0)] {
            let bytes = std::fs::read(models.join(model).join("model.onnx")).unwrap();
            let mut graph = GraphModel::parse(&bytes).unwrap();
            let before = graph.nodes.len();
            assert_eq!(loops::replace(&mut graph, false), Loops::None);
            assert_eq!(graph.nodes.len(), before, "{model}");
            assert_eq!(loops::replace(&mut graph, true), Loops::None);
            assert!(graph.is_complete());
            let made = |node: &&Node| node.operator == "Mul" && node.outputs[0].ends_with("·masked");
            assert_eq!(graph.nodes.iter().filter(made).count(), masked, "{model}");
        }
    }

    #[test]
    fn what_is_no_graph_is_left_to_the_runtime() {
        let options = NetworkOptions::default();
        assert!(accelerated(&Content::Memory(b"no graph"), &options, Use::AsItIs).is_none());
        assert!(accelerated(&Content::Memory(b""), &options, Use::Recognition("scores")).is_none());
    }
}
