//! How long a text is after zlib's compression at level 6, to the byte.
//!
//! The reference measures repetitiveness with the classic zlib. Other implementations, those in Rust included, choose other matches and
//! give other lengths (14 or 27 bytes for the same 150), so its choices are made here again. No stream is written: counting is enough.
//!
//! Source: zlib 1.3.1, `deflate.c: deflate_slow, longest_match` and `trees.c: build_tree, gen_bitlen, scan_tree, _tr_flush_block`; the
//! format is RFC 1951.

/// Shortest and longest match.
const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
/// Matches are not further away: a window of 32 KiB less the lookahead that zlib wants to have.
const MAX_DISTANCE: usize = 32_768 - (MAX_MATCH + MIN_MATCH + 1);
/// Matches of the shortest length are not further away, since their distance would cost more than literals.
const TOO_FAR: usize = 4096;
/// Level 6: a match this long makes zlib search a quarter as hard for a better one at the next byte…
const GOOD_LENGTH: usize = 8;
/// …one this long makes it not search there…
const MAX_LAZY: usize = 16;
/// …and one this long ends the search.
const NICE_LENGTH: usize = 128;
/// Level 6: places that are looked at.
const MAX_CHAIN: usize = 128;
/// Literals and matches of a block.
const BLOCK_SYMBOLS: usize = 16_383;
/// Bits of the hash of three bytes.
const HASH_BITS: u32 = 15;

/// Literals, the end of a block, and lengths of matches.
const LITERAL_CODES: usize = 286;
const END_OF_BLOCK: usize = 256;
const DISTANCE_CODES: usize = 30;
const BIT_LENGTH_CODES: usize = 19;
/// Longest codes.
const MAX_BITS: usize = 15;
const MAX_BIT_LENGTH_BITS: usize = 7;
/// Order in which the lengths of the bit-length codes are stored.
const BIT_LENGTH_ORDER: [usize; BIT_LENGTH_CODES] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Bytes of the header and of the checksum.
const WRAPPER: usize = 2 + 4;

/// Bytes of the zlib stream of `data`.
pub(super) fn zlib_length(data: &[u8]) -> usize {
    let mut blocks = Blocks::new();
    find_matches(data, &mut blocks);
    blocks.finish(data.len())
}

/// Lazy matching: a match is taken unless the next byte starts a longer one.
fn find_matches(data: &[u8], blocks: &mut Blocks) {
    let mut chains = Chains::new(data);
    let mut at = 0;
    let (mut length, mut start) = (MIN_MATCH - 1, 0);
    let mut literal_waits = false;
    while at < data.len() {
        let lookahead = data.len() - at;
        let candidate = if lookahead >= MIN_MATCH { chains.insert(at) } else { 0 };
        let (previous_length, previous_start) = (length, start);
        length = MIN_MATCH - 1;
        // Place 0 means no place.
        if candidate != 0 && previous_length < MAX_LAZY && at - candidate <= MAX_DISTANCE {
            (length, start) = chains.longest(at, candidate, previous_length, start);
            if length == MIN_MATCH && at - start > TOO_FAR {
                length = MIN_MATCH - 1;
            }
        }
        if previous_length >= MIN_MATCH && length <= previous_length {
            blocks.match_of(previous_length, at - 1 - previous_start, at - 1 + previous_length);
            let end = at - 1 + previous_length;
            for skipped in at + 1..end {
                if skipped + MIN_MATCH <= data.len() {
                    chains.insert(skipped);
                }
            }
            at = end;
            literal_waits = false;
            length = MIN_MATCH - 1;
        } else {
            if literal_waits {
                blocks.literal(data[at - 1], at);
            }
            literal_waits = true;
            at += 1;
        }
    }
    if literal_waits {
        blocks.literal(data[at - 1], at);
    }
}

/// Where each three bytes were seen before.
struct Chains<'a> {
    data: &'a [u8],
    /// Last place by hash; 0 is none.
    head: Vec<usize>,
    /// The place before, by place.
    previous: Vec<usize>,
}

impl<'a> Chains<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, head: vec![0; 1 << HASH_BITS], previous: vec![0; data.len()] }
    }

    /// A byte; zero beyond the end.
    fn byte(&self, at: usize) -> u8 {
        self.data.get(at).copied().unwrap_or(0)
    }

    /// Notes a place and returns the last one with the same hash.
    fn insert(&mut self, at: usize) -> usize {
        let byte = |i: usize| usize::from(self.byte(at + i));
        let hash = ((byte(0) << 10) ^ (byte(1) << 5) ^ byte(2)) & ((1 << HASH_BITS) - 1);
        let before = std::mem::replace(&mut self.head[hash], at);
        self.previous[at] = before;
        before
    }

    /// Length and place of the longest match for the bytes at `at`, if it is longer than `best`; otherwise `best` and `start`.
    fn longest(&self, at: usize, mut candidate: usize, mut best: usize, mut start: usize) -> (usize, usize) {
        let lookahead = self.data.len() - at;
        let nice = NICE_LENGTH.min(lookahead);
        let limit = at.saturating_sub(MAX_DISTANCE);
        let mut chain = if best >= GOOD_LENGTH { MAX_CHAIN / 4 } else { MAX_CHAIN };
        loop {
            let is_equal = |i: usize| self.byte(candidate + i) == self.byte(at + i);
            if is_equal(best) && is_equal(best - 1) {
                let length = (0..MAX_MATCH).take_while(|i| is_equal(*i)).count();
                if length > best {
                    (best, start) = (length, candidate);
                    if length >= nice {
                        break;
                    }
                }
            }
            candidate = self.previous[candidate];
            chain -= 1;
            if candidate <= limit || chain == 0 {
                break;
            }
        }
        (best.min(lookahead), start)
    }
}

/// Code, extra bits and base of a match length.
fn length_code(length: usize) -> (usize, usize) {
    let rest = length - MIN_MATCH;
    if length == MAX_MATCH {
        return (28, 0);
    }
    if rest < 8 {
        return (rest, 0);
    }
    let extra = rest.ilog2() as usize - 2;
    (4 * extra + (rest >> extra), extra)
}

/// Code and extra bits of a distance.
fn distance_code(distance: usize) -> (usize, usize) {
    let rest = distance - 1;
    if rest < 4 {
        return (rest, 0);
    }
    let extra = rest.ilog2() as usize - 1;
    (2 * extra + (rest >> extra), extra)
}

/// The symbols of the current block, and the bits of those before.
struct Blocks {
    literals: Vec<u32>,
    distances: Vec<u32>,
    symbols: usize,
    /// Bits of lengths and distances beside their codes.
    extra_bits: usize,
    /// Where the block starts in the data.
    start: usize,
    bits: usize,
}

impl Blocks {
    fn new() -> Self {
        let mut blocks =
            Self { literals: Vec::new(), distances: Vec::new(), symbols: 0, extra_bits: 0, start: 0, bits: 0 };
        blocks.reset(0);
        blocks
    }

    fn reset(&mut self, start: usize) {
        self.literals = vec![0; LITERAL_CODES];
        self.literals[END_OF_BLOCK] = 1;
        self.distances = vec![0; DISTANCE_CODES];
        self.symbols = 0;
        self.extra_bits = 0;
        self.start = start;
    }

    /// A byte as it is; `end` is the place after it.
    fn literal(&mut self, byte: u8, end: usize) {
        self.literals[usize::from(byte)] += 1;
        self.symbol(end);
    }

    /// A repetition of `length` bytes from `distance` bytes before.
    fn match_of(&mut self, length: usize, distance: usize, end: usize) {
        let (length_code, length_extra) = length_code(length);
        let (distance_code, distance_extra) = distance_code(distance);
        self.literals[END_OF_BLOCK + 1 + length_code] += 1;
        self.distances[distance_code] += 1;
        self.extra_bits += length_extra + distance_extra;
        self.symbol(end);
    }

    fn symbol(&mut self, end: usize) {
        self.symbols += 1;
        if self.symbols == BLOCK_SYMBOLS {
            self.end_block(end);
        }
    }

    /// Adds the block in the cheapest of its three forms.
    fn end_block(&mut self, end: usize) {
        let fixed = self.extra_bits + self.fixed_bits();
        let dynamic = self.extra_bits + self.dynamic_bits();
        let bytes = |bits: usize| (bits + 3).div_ceil(8);
        let stored = end - self.start;
        if stored + 4 <= bytes(dynamic).min(bytes(fixed)) {
            self.bits = (self.bits + 3).next_multiple_of(8) + 8 * (4 + stored);
        } else if bytes(fixed) <= bytes(dynamic) {
            self.bits += 3 + fixed;
        } else {
            self.bits += 3 + dynamic;
        }
        self.reset(end);
    }

    /// Bits with the codes that the format fixes.
    fn fixed_bits(&self) -> usize {
        let bits = |code: usize| match code {
            144..=255 => 9,
            256..=279 => 7,
            _ => 8,
        };
        let literals: usize = self.literals.iter().enumerate().map(|(code, count)| *count as usize * bits(code)).sum();
        literals + self.distances.iter().map(|count| *count as usize * 5).sum::<usize>()
    }

    /// Bits with codes of the block's own, and the bits that describe them.
    fn dynamic_bits(&self) -> usize {
        let literals = Code::new(&self.literals, MAX_BITS);
        let distances = Code::new(&self.distances, MAX_BITS);
        let mut counts = [0; BIT_LENGTH_CODES];
        let repeated = count_lengths(&literals.lengths, &mut counts) + count_lengths(&distances.lengths, &mut counts);
        let lengths = Code::new(&counts, MAX_BIT_LENGTH_BITS);
        let stored = BIT_LENGTH_ORDER.iter().rposition(|code| lengths.lengths.get(*code).is_some_and(|bits| *bits > 0));
        let stored = stored.unwrap_or(0).max(3) + 1;
        literals.bits + distances.bits + lengths.bits + repeated + 5 + 5 + 4 + 3 * stored
    }

    /// Bytes of the whole stream.
    fn finish(mut self, end: usize) -> usize {
        self.end_block(end);
        self.bits.div_ceil(8) + WRAPPER
    }
}

/// Counts how code lengths are written: singly (codes 0–15) or in runs (16–18). Returns the extra bits of the runs.
fn count_lengths(lengths: &[usize], counts: &mut [u32; BIT_LENGTH_CODES]) -> usize {
    let mut extra = 0;
    let mut previous = None;
    let mut rest = lengths;
    while let Some(&length) = rest.first() {
        let (longest, shortest) = match previous {
            _ if length == 0 => (138, 3),
            Some(previous) if previous == length => (6, 3),
            _ => (7, 4),
        };
        let run = rest.iter().take(longest).take_while(|other| **other == length).count();
        if run < shortest {
            counts[length] += run as u32;
        } else if length != 0 {
            // A run repeats the length before it, which therefore has to be written first.
            counts[length] += u32::from(previous != Some(length));
            counts[16] += 1;
            extra += 2;
        } else if run <= 10 {
            counts[17] += 1;
            extra += 3;
        } else {
            counts[18] += 1;
            extra += 7;
        }
        previous = Some(length);
        rest = &rest[run..];
    }
    extra
}

/// A Huffman code, made as zlib makes it: equal frequencies are ordered by depth and by their place in a heap.
struct Code {
    /// Bits of each symbol, up to the last one that occurs.
    lengths: Vec<usize>,
    /// Bits of all symbols together.
    bits: usize,
}

impl Code {
    fn new(counts: &[u32], max_bits: usize) -> Self {
        let mut heap = Heap::new(counts);
        let (parents, order) = heap.build();
        // From the root down: each node is one bit longer than its parent.
        let mut lengths = vec![0; parents.len()];
        let mut of_length = vec![0_usize; max_bits + 1];
        let mut overflow = 0_isize;
        for node in order.iter().rev().skip(1) {
            let length = lengths[parents[*node]] + 1;
            overflow += isize::from(length > max_bits);
            lengths[*node] = length.min(max_bits);
            if *node < counts.len() {
                of_length[lengths[*node]] += 1;
            }
        }
        if overflow > 0 {
            limit_lengths(&mut of_length, overflow);
            // Shortened codes go to the symbols in order of frequency, rarest first.
            let mut symbols = order.iter().filter(|node| **node < counts.len());
            for bits in (1..=max_bits).rev() {
                for symbol in symbols.by_ref().take(of_length[bits]) {
                    lengths[*symbol] = bits;
                }
            }
        }
        lengths.truncate(heap.last_symbol + 1);
        let bits = lengths.iter().zip(counts).map(|(length, count)| length * *count as usize).sum();
        Self { lengths, bits }
    }
}

/// Moves codes that are too long up the tree. Source: RFC 1951 has only the rule; zlib `gen_bitlen` the way.
fn limit_lengths(of_length: &mut [usize], mut overflow: isize) {
    let longest = of_length.len() - 1;
    while overflow > 0 {
        let Some(bits) = (1..longest).rev().find(|bits| of_length[*bits] > 0) else { return };
        of_length[bits] -= 1;
        of_length[bits + 1] += 2;
        of_length[longest] -= 1;
        overflow -= 2;
    }
}

/// Builds a Huffman tree from the rarest symbols up.
struct Heap {
    nodes: Vec<usize>,
    frequencies: Vec<u32>,
    depths: Vec<u32>,
    last_symbol: usize,
}

impl Heap {
    fn new(counts: &[u32]) -> Self {
        let mut heap = Self {
            nodes: (0..counts.len()).filter(|symbol| counts[*symbol] > 0).collect(),
            frequencies: counts.to_vec(),
            depths: vec![0; counts.len()],
            last_symbol: 0,
        };
        let mut last = heap.nodes.last().copied();
        // A code has at least two symbols.
        while heap.nodes.len() < 2 {
            let symbol = match last {
                None => 0,
                Some(last) if last < 2 => last + 1,
                Some(_) => 0,
            };
            if last.is_none_or(|last| symbol > last) {
                last = Some(symbol);
            }
            heap.frequencies[symbol] = 1;
            heap.nodes.push(symbol);
        }
        heap.last_symbol = last.unwrap_or(0);
        for place in (0..heap.nodes.len() / 2).rev() {
            heap.sink(place);
        }
        heap
    }

    fn is_smaller(&self, a: usize, b: usize) -> bool {
        let key = |node: usize| (self.frequencies[node], self.depths[node]);
        key(a) <= key(b)
    }

    /// Moves the node at a place down until it is smaller than those below it.
    fn sink(&mut self, mut place: usize) {
        let node = self.nodes[place];
        loop {
            let mut below = 2 * place + 1;
            if below >= self.nodes.len() {
                break;
            }
            if below + 1 < self.nodes.len() && self.is_smaller(self.nodes[below + 1], self.nodes[below]) {
                below += 1;
            }
            if self.is_smaller(node, self.nodes[below]) {
                break;
            }
            self.nodes[place] = self.nodes[below];
            place = below;
        }
        self.nodes[place] = node;
    }

    /// Joins the two rarest nodes until one is left. Returns the parent of each node, and the nodes from the rarest to the root.
    fn build(&mut self) -> (Vec<usize>, Vec<usize>) {
        let mut parents = vec![0; self.frequencies.len()];
        let mut order = Vec::with_capacity(2 * self.nodes.len());
        while self.nodes.len() >= 2 {
            let first = self.nodes.swap_remove(0);
            self.sink(0);
            let second = self.nodes[0];
            order.extend([first, second]);
            let joined = self.frequencies.len();
            self.frequencies.push(self.frequencies[first] + self.frequencies[second]);
            self.depths.push(self.depths[first].max(self.depths[second]) + 1);
            parents.push(0);
            parents[first] = joined;
            parents[second] = joined;
            self.nodes[0] = joined;
            self.sink(0);
        }
        order.extend(self.nodes.first());
        (parents, order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_zlib() {
        // From Python: len(zlib.compress(text, 6)).
        let cases: [(&[u8], usize); 6] = [
            (b"", 8),
            (b"a", 9),
            ("рiesies".as_bytes(), 14),
            (b"you you you you you you you you", 14),
            (b" And so my fellow Americans ask not what your country can do for you", 66),
            (&[b'x'; 100_000], 120),
        ];
        for (text, length) in cases {
            assert_eq!(zlib_length(text), length, "{:?}", String::from_utf8_lossy(&text[..text.len().min(40)]));
        }
    }

    #[test]
    fn codes_of_lengths_and_distances() {
        assert_eq!(
            [3, 10, 11, 12, 13, 257, 258].map(length_code),
            [(0, 0), (7, 0), (8, 1), (8, 1), (9, 1), (27, 5), (28, 0)]
        );
        assert_eq!([1, 4, 5, 7, 9, 32_768].map(distance_code), [(0, 0), (3, 0), (4, 1), (5, 1), (6, 2), (29, 13)]);
    }
}
