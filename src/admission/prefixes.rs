//! Networks and what they mean, longest prefix first. A search takes one step for each four bits of the prefixes that
//! share the address's beginning, however many prefixes there are.

/// What a network means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    /// It may come (or is exempt).
    Yes,
    /// It may not.
    No,
}

/// One prefix; bits are counted from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) bits: u128,
    pub(super) length: u8,
    pub(super) meaning: Meaning,
}

/// A trie of nodes with 16 places of one word (one cache line a node). A place holds a meaning or the next node: what a
/// shorter prefix means is written into every place below it, so a search ends at the first place that is no node.
#[derive(Debug)]
pub(super) struct Prefixes {
    nodes: Vec<[u32; 16]>,
}

const NODE: u32 = 1 << 31;
const NOTHING: u32 = 0;

impl Prefixes {
    /// The trie of these prefixes. Where two are equal, `No` wins.
    pub(super) fn new(mut prefixes: Vec<Prefix>) -> Self {
        // Short ones first, so that no prefix overwrites a longer one; `No` after `Yes`.
        prefixes.sort_unstable_by_key(|prefix| (prefix.length, prefix.meaning));
        let mut trie = Self {
            nodes: vec![[NOTHING; 16]],
        };
        for prefix in &prefixes {
            trie.insert(prefix);
        }
        trie.nodes.shrink_to_fit();
        trie
    }

    /// What the longest prefix of `bits` means.
    pub(super) fn find(&self, mut bits: u128) -> Option<Meaning> {
        let mut node = 0;
        loop {
            let place = *self.nodes.get(node as usize)?.get((bits >> 124) as usize)?;
            if place & NODE == 0 {
                return decode(place);
            }
            node = place & !NODE;
            bits <<= 4;
        }
    }

    fn insert(&mut self, prefix: &Prefix) {
        let mut node = 0;
        let mut bits = prefix.bits;
        let mut left = prefix.length;
        while left > 4 {
            node = self.below(node, (bits >> 124) as usize);
            bits <<= 4;
            left -= 4;
        }
        // The places of this node whose first `left` bits are those of the prefix.
        let first = (bits >> 124) as usize & (0xf0 >> left) & 0xf;
        let places = 1_usize << (4 - left);
        if let Some(node) = self.nodes.get_mut(node as usize) {
            for place in node.iter_mut().skip(first).take(places) {
                *place = encode(prefix.meaning);
            }
        }
    }

    /// The node under a place; made, with the meaning of the place, where there is none.
    fn below(&mut self, node: u32, place: usize) -> u32 {
        let new = self.nodes.len() as u32;
        let Some(place) = self
            .nodes
            .get_mut(node as usize)
            .and_then(|node| node.get_mut(place))
        else {
            return node;
        };
        if *place & NODE != 0 {
            return *place & !NODE;
        }
        let inherited = std::mem::replace(place, NODE | new);
        self.nodes.push([inherited; 16]);
        new
    }
}

fn encode(meaning: Meaning) -> u32 {
    match meaning {
        Meaning::Yes => 1,
        Meaning::No => 2,
    }
}

fn decode(place: u32) -> Option<Meaning> {
    match place {
        1 => Some(Meaning::Yes),
        2 => Some(Meaning::No),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(bits: u128, length: u8, meaning: Meaning) -> Prefix {
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Prefix {
            bits: bits & mask,
            length,
            meaning,
        }
    }

    /// All prefixes, one after the other.
    fn slowly(prefixes: &[Prefix], bits: u128) -> Option<Meaning> {
        let matching = prefixes.iter().filter(|prefix| {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.length))
                .unwrap_or(0);
            bits & mask == prefix.bits
        });
        matching
            .max_by_key(|prefix| (prefix.length, prefix.meaning))
            .map(|prefix| prefix.meaning)
    }

    #[test]
    fn longest_wins_and_a_tie_is_no() {
        let ten = 10_u128 << 120;
        let prefixes = Prefixes::new(vec![
            prefix(ten, 8, Meaning::Yes),
            prefix(ten | 1 << 112, 16, Meaning::No),
            prefix(ten | 1 << 112, 24, Meaning::No),
            prefix(ten | 1 << 112, 24, Meaning::Yes),
            prefix(ten | 1 << 112, 32, Meaning::Yes),
        ]);
        let find = |low: u128| prefixes.find(ten | low << 96);
        assert_eq!(find(0x02_0001), Some(Meaning::Yes));
        assert_eq!(find(0x01_0200), Some(Meaning::No));
        assert_eq!(find(0x01_0001), Some(Meaning::No), "the tie");
        assert_eq!(find(0x01_0000), Some(Meaning::Yes));
        assert_eq!(prefixes.find(11 << 120), None);
    }

    #[test]
    fn length_zero_and_full_length_are_prefixes_too() {
        let one = Prefixes::new(vec![
            prefix(7, 128, Meaning::No),
            prefix(0, 0, Meaning::Yes),
        ]);
        assert_eq!(one.find(7), Some(Meaning::No));
        assert_eq!(one.find(6), Some(Meaning::Yes));
        assert_eq!(Prefixes::new(Vec::new()).find(0), None);
    }

    #[test]
    fn agrees_with_a_slow_search_in_100_000_cases() {
        // Few distinct bits, so that prefixes nest and tie often; xorshift, so that it is the same every time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let sparse = |random: &mut dyn FnMut() -> u64| {
            let (high, low) = (random() & random(), random() & random() & random());
            let bits = u128::from(high & 0x0300_0301_0107_0f01) << 64;
            bits | u128::from(low & 0x1000_0000_0f00_8001)
        };
        let mut hits = [0; 3];
        for _ in 0..1_000 {
            let count = random() % 24;
            let prefixes: Vec<Prefix> = (0..count)
                .map(|_| {
                    let meaning = if random() % 2 == 0 {
                        Meaning::Yes
                    } else {
                        Meaning::No
                    };
                    let length = (random() % 129) as u8;
                    prefix(sparse(&mut random), length, meaning)
                })
                .collect();
            let trie = Prefixes::new(prefixes.clone());
            for _ in 0..100 {
                let bits = sparse(&mut random);
                let expected = slowly(&prefixes, bits);
                assert_eq!(trie.find(bits), expected, "{bits:#034x} in {prefixes:#x?}");
                hits[expected.map_or(0, |meaning| encode(meaning) as usize)] += 1;
            }
        }
        assert!(hits.iter().all(|count| *count > 5_000), "{hits:?}");
    }
}
