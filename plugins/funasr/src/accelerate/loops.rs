//! Finds where official exports of models with times make tokens of frames (CIF) in loops, frame by frame and utterance by utterance:
//!
//! - a `Loop` over frames, whose body takes the weights and the hidden states from around, and a `Loop` over utterances behind it, whose
//!   second output is cut to the tokens' embeddings by `Slice`s;
//! - a `Loop` over finer frames, whose body takes the output `us_alphas`, for the output `us_cif_peak`;
//! - and the predictor between them, whose convolutions and LSTM also see what the encoder makes of padding: it is masked, and the LSTM,
//!   which reads backwards, is told how long each utterance is.
//!
//! Exports without times have no loops and no LSTM, but the same predictor, from which padding is kept as well. With all of that, a batch gives what
//! its utterances give alone.

use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node};
use syrinx_plugin_common::onnx::rewrite::{Changes, maker, next};

use super::{DOMAIN, axes};

/// Name of the operator: hidden states, weights and numbers of tokens in, embeddings of tokens out.
pub(super) const TOKENS: &str = "Tokens";
/// Name of the operator: weights in, sums out.
pub(super) const PEAKS: &str = "Peaks";

/// Outputs of the exports.
const TOKEN_NUM: &str = "token_num";
const FINE_WEIGHTS: &str = "us_alphas";
const FINE_PEAKS: &str = "us_cif_peak";
/// The input with lengths.
const LENGTHS: &str = "speech_lengths";

/// `TensorProto.DataType.FLOAT`
const FLOAT: i64 = 1;

/// What became of a graph's loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loops {
    /// It has none.
    #[default]
    None,
    /// They are replaced.
    Replaced,
    /// They are something else than what is known here.
    Left,
}

/// Replaces the loops and, if the graph `is_for_batches`, keeps padding from the predictor; all or nothing.
pub(super) fn replace(graph: &mut GraphModel<'_>, is_for_batches: bool) -> Loops {
    let links = graph.links();
    if !graph.nodes.iter().any(|node| node.operator == "Loop") {
        if let Some(predictor) = Predictor::without_times(graph, &links).filter(|_| is_for_batches) {
            predictor.ignore_padding(graph);
        }
        return Loops::None;
    }
    let mut changes = Changes::default();
    let Some(taken) = tokens(graph, &links, &mut changes) else { return Loops::Left };
    let found = peaks(graph, &links, &mut changes).and_then(|()| Predictor::find(graph, &links, &taken));
    let Some(predictor) = found else { return Loops::Left };
    changes.apply(graph);
    if is_for_batches {
        predictor.ignore_padding(graph);
    }
    graph.prune();
    Loops::Replaced
}

/// The loops that make embeddings of tokens; returns the names of hidden states and
/// weights.
fn tokens(graph: &GraphModel<'_>, links: &Links, changes: &mut Changes) -> Option<[String; 2]> {
    let nodes = &graph.nodes;
    let taken = |at: usize, is: &dyn Fn(&Node) -> bool| {
        let captured = nodes[at].captured.iter();
        captured.filter(|name| links.producer(name).is_some_and(|maker| is(&nodes[maker]))).max()
    };
    let is_sum = |node: &Node| node.operator == "Add";
    let is_padded =
        |node: &Node| node.operator == "Concat" && node.integers.get("axis").is_some_and(|axis| axis == &[1]);
    let is_of_loop = |node: &Node| node.operator == "ConcatFromSequence";
    let mut loops = (0..nodes.len()).filter(|at| nodes[*at].operator == "Loop");
    let frames = loops.next()?;
    let (weights, hidden) = (taken(frames, &is_sum)?, taken(frames, &is_padded)?);
    let utterances = loops.next()?;
    taken(utterances, &is_of_loop)?;
    let mut embeddings = nodes[utterances].outputs.get(1)?;
    let mut group = vec![frames, utterances];
    while let Some(slice) = links.only_consumer(embeddings)
        && nodes[slice].operator == "Slice"
        && nodes[slice].inputs.first() == Some(embeddings)
    {
        group.push(slice);
        embeddings = nodes[slice].outputs.first()?;
    }
    let count = nodes[count(graph, links)?].outputs.first()?;
    let inputs = vec![hidden.clone(), weights.clone(), count.clone()];
    changes.replace(&group, Node::new(DOMAIN, TOKENS, TOKENS, inputs, vec![embeddings.clone()]));
    Some([hidden.clone(), weights.clone()])
}

/// What rounds the sum of the weights down to the number of tokens, before it is made a whole number's type.
fn count(graph: &GraphModel<'_>, links: &Links) -> Option<usize> {
    let nodes = &graph.nodes;
    let mut at = links.producer(TOKEN_NUM)?;
    while !(nodes[at].operator == "Floor" && maker(graph, links, nodes[at].inputs.first()?, "ReduceSum").is_some()) {
        if !matches!(nodes[at].operator.as_str(), "Cast" | "Round" | "Floor") {
            return None;
        }
        at = links.producer(nodes[at].inputs.first()?)?;
    }
    Some(at)
}

/// The loop that adds up the weights of finer frames.
fn peaks(graph: &GraphModel<'_>, links: &Links, changes: &mut Changes) -> Option<()> {
    let nodes = &graph.nodes;
    let last = links.producer(FINE_PEAKS).filter(|at| nodes[*at].operator == "ConcatFromSequence")?;
    let body = links.producer(nodes[last].inputs.first()?).filter(|at| nodes[*at].operator == "Loop")?;
    if !nodes[body].captured.iter().any(|name| name == FINE_WEIGHTS) {
        return None;
    }
    let new = Node::new(DOMAIN, PEAKS, PEAKS, vec![FINE_WEIGHTS.to_owned()], vec![FINE_PEAKS.to_owned()]);
    changes.replace(&[body, last], new);
    Some(())
}

/// The predictor's parts that see padding.
struct Predictor {
    /// The LSTM's first output and its steps per frame, where times are told.
    lstm: Option<(String, i64)>,
    /// Encoded frames, `[batch, width, frames]`, that convolutions take.
    encoded: String,
    /// 1 for frames that count, `[batch, 1, frames]`.
    mask: String,
    /// Encoded frames with zeros behind them, `[batch, frames + 1, width]`, that tokens are made of.
    hidden: String,
    /// 1 for frames that count, `[batch, frames, 1]`.
    column: String,
}

impl Predictor {
    fn find(graph: &GraphModel<'_>, links: &Links, [hidden, weights]: &[String; 2]) -> Option<Self> {
        let nodes = &graph.nodes;
        let lstm = nodes.iter().find(|node| node.operator == "LSTM")?;
        let is_untold = lstm.inputs.get(4).is_some_and(String::is_empty);
        let transposed = maker(graph, links, lstm.inputs.first()?, "Transpose")?;
        let finer = maker(graph, links, nodes[transposed].inputs.first()?, "ConvTranspose")?;
        let stride = nodes[finer].integers.get("strides")?.first().copied()?;
        let fits = is_untold && (1..=8).contains(&stride) && graph.inputs().any(|input| input == LENGTHS);
        fits.then_some(())?;
        let encoded = nodes[finer].inputs.first()?.clone();
        let [mask, column] = Self::masks(graph, links, weights)?;
        Some(Self {
            lstm: Some((lstm.outputs.first()?.clone(), stride)),
            encoded,
            mask,
            hidden: hidden.clone(),
            column,
        })
    }

    /// The predictor of an export without times: what is convolved is the transposed of what zeros are put behind.
    fn without_times(graph: &GraphModel<'_>, links: &Links) -> Option<Self> {
        let nodes = &graph.nodes;
        let sum = maker(graph, links, nodes[count(graph, links)?].inputs.first()?, "ReduceSum")?;
        let [mask, column] = Self::masks(graph, links, nodes[sum].inputs.first()?)?;
        let is_convolved = |at: usize| {
            let padded = next(graph, links, at, "Pad").unwrap_or(at);
            next(graph, links, padded, "Conv").is_some()
        };
        let is_lengthened =
            |node: &&Node| node.operator == "Concat" && node.integers.get("axis").is_some_and(|axis| axis == &[1]);
        nodes.iter().filter(is_lengthened).find_map(|node| {
            let mut takers = links.consumers(node.inputs.first()?).iter();
            let turned = takers.find(|at| axes(&nodes[**at]) == Some(&[0, 2, 1]) && is_convolved(**at))?;
            let (encoded, hidden) = (nodes[*turned].outputs.first()?.clone(), node.outputs.first()?.clone());
            Some(Self { lstm: None, encoded, mask: mask.clone(), hidden, column: column.clone() })
        })
    }

    /// 1 for frames that count, `[batch, 1, frames]` and `[batch, frames, 1]`: the weights are masked before the tail is put behind them.
    fn masks(graph: &GraphModel<'_>, links: &Links, weights: &str) -> Option<[String; 2]> {
        let nodes = &graph.nodes;
        let sum = maker(graph, links, weights, "Add")?;
        let masked = nodes[sum].inputs.iter().find_map(|term| {
            let squeezed = nodes[maker(graph, links, term, "Concat")?].inputs.first()?;
            let masked = nodes[maker(graph, links, squeezed, "Squeeze")?].inputs.first()?;
            maker(graph, links, masked, "Mul")
        })?;
        nodes[masked].inputs.iter().find_map(|factor| {
            let cast = maker(graph, links, factor, "Cast")?;
            let transposed = maker(graph, links, nodes[cast].inputs.first()?, "Transpose")?;
            Some([nodes[transposed].inputs.first()?.clone(), factor.clone()])
        })
    }

    /// Masks what convolutions take, and tells the LSTM its lengths: sums of the utterances' lengths.
    fn ignore_padding(&self, graph: &mut GraphModel<'_>) {
        let masked = format!("{}·masked", self.encoded);
        let mask = format!("{}·float", self.mask);
        let length = |times: i64| if times == 1 { LENGTHS.to_owned() } else { format!("{LENGTHS}·{times}") };
        for node in &mut graph.nodes {
            let lstm = self.lstm.as_ref().filter(|(output, _)| node.outputs.first() == Some(output));
            if lstm.is_some() || node.inputs.contains(&self.encoded) {
                let mut inputs = node.inputs.clone();
                inputs.iter_mut().filter(|input| **input == self.encoded).for_each(|input| input.clone_from(&masked));
                if let Some((_, stride)) = lstm {
                    inputs[4] = length(*stride);
                }
                node.set_inputs(inputs);
            }
        }
        let stride = self.lstm.as_ref().map_or(1, |(_, stride)| *stride);
        let lengths = (2..=stride).map(|times| {
            Node::new("", "Add", &length(times), vec![length(times - 1), LENGTHS.to_owned()], vec![length(times)])
        });
        let cast = Node::new("", "Cast", &mask, vec![self.mask.clone()], vec![mask.clone()]).with_integer("to", FLOAT);
        let multiply = Node::new("", "Mul", &masked, vec![self.encoded.clone(), mask], vec![masked.clone()]);
        // Behind whatever makes the frames and their mask.
        let makes = |node: &Node| node.outputs.iter().any(|output| *output == self.encoded || *output == self.mask);
        let place = graph.nodes.iter().rposition(makes).map_or(0, |at| at + 1);
        graph.nodes.splice(place..place, lengths.chain([cast, multiply]));
        // The weight of the tail falls on the frame behind the last that counts, which is zeros only where the batch ends.
        if let Some(at) = graph.nodes.iter().position(|node| node.outputs.first() == Some(&self.hidden)) {
            let counted = format!("{}·masked", self.hidden);
            let mut inputs = graph.nodes[at].inputs.clone();
            let frames = std::mem::replace(&mut inputs[0], counted.clone());
            graph.nodes[at].set_inputs(inputs);
            let multiply = Node::new("", "Mul", &counted, vec![frames, self.column.clone()], vec![counted.clone()]);
            graph.nodes.insert(at, multiply);
        }
    }
}
