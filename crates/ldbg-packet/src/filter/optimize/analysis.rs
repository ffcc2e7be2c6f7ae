//! What a pass knows of the graph's form before it changes it.

use crate::filter::graph::{BlockId, Graph, Statement};

/// A set of registers.
pub(super) type Registers = u8;
pub(super) const A: Registers = 1;
pub(super) const X: Registers = 2;

/// One of a block's two ways out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: BlockId,
    /// 0 where the test holds, 1 where not.
    pub(super) side: usize,
}

pub(super) struct Analysis {
    /// The reachable blocks by their distance from the farthest return, nearest
    /// first; each level in the order in which libpcap visits it.
    pub(super) levels: Vec<Vec<BlockId>>,
    /// By block: the edges that lead to it.
    pub(super) incoming: Vec<Vec<Edge>>,
    /// By edge (see [`Analysis::edge_index`]): the edges on every way over it, itself among them.
    pub(super) edge_dominators: Vec<Set>,
    /// By block: the registers that are used behind it before they are set.
    pub(super) used_after: Vec<Registers>,
}

impl Analysis {
    pub(super) fn new(graph: &Graph) -> Self {
        let levels = levels(graph);
        let used_after = used_after(graph, &levels);
        let edge_dominators = edge_dominators(graph, &levels);
        let incoming = incoming(graph, &levels);
        Self { levels, incoming, edge_dominators, used_after }
    }

    /// After branches have moved: the edges anew, the rest as it was.
    pub(super) fn find_incoming(&mut self, graph: &Graph) {
        self.incoming = incoming(graph, &self.levels);
    }

    /// After edges of one block have changed places. libpcap 1.10.3 goes on with
    /// what dominated before, and compiles `not net 2001:db8::/33 or net
    /// 2001:db8::/33` to something that is not always true.
    pub(super) fn find_edge_dominators(&mut self, graph: &Graph) {
        self.edge_dominators = edge_dominators(graph, &self.levels);
    }

    /// Edges are numbered by their blocks, all accepting ones first.
    pub(super) fn edge_index(graph: &Graph, edge: Edge) -> usize {
        edge.side * graph.blocks.len() + edge.from
    }

    pub(super) fn edge_at(graph: &Graph, index: usize) -> Edge {
        Edge { from: index % graph.blocks.len(), side: index / graph.blocks.len() }
    }
}

fn levels(graph: &Graph) -> Vec<Vec<BlockId>> {
    let mut level_of = vec![0; graph.blocks.len()];
    let mut levels: Vec<Vec<BlockId>> = Vec::new();
    for id in graph.postorder([0, 1]) {
        if let Some([then, otherwise]) = graph.blocks[id].successors() {
            level_of[id] = level_of[then].max(level_of[otherwise]) + 1;
        }
        if levels.len() <= level_of[id] {
            levels.resize(level_of[id] + 1, Vec::new());
        }
        levels[level_of[id]].push(id);
    }
    levels.iter_mut().for_each(|level| level.reverse());
    levels
}

/// From the root down.
fn downwards(levels: &[Vec<BlockId>]) -> impl Iterator<Item = BlockId> + '_ {
    levels.iter().rev().flatten().copied()
}

fn incoming(graph: &Graph, levels: &[Vec<BlockId>]) -> Vec<Vec<Edge>> {
    let mut incoming = vec![Vec::new(); graph.blocks.len()];
    for from in downwards(levels) {
        if let Some(to) = graph.blocks[from].successors() {
            for (side, to) in to.into_iter().enumerate() {
                incoming[to].push(Edge { from, side });
            }
        }
    }
    // The last one found is looked at first.
    incoming.iter_mut().for_each(|edges| edges.reverse());
    incoming
}

/// Which blocks every way to a block goes over.
pub(super) struct Dominators {
    /// By block: its place in an order in which each comes before those it leads to.
    place: Vec<usize>,
    /// By block: the last of those that dominate it; itself for the root.
    immediate: Vec<BlockId>,
}

impl Dominators {
    /// After Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm"
    /// (2001); without cycles one round is enough.
    pub(super) fn new(graph: &Graph) -> Self {
        let order = graph.postorder([0, 1]);
        let mut place = vec![0; graph.blocks.len()];
        let mut immediate: Vec<BlockId> = vec![graph.root; graph.blocks.len()];
        let mut reached = vec![false; graph.blocks.len()];
        for (index, &id) in order.iter().rev().enumerate() {
            place[id] = index;
        }
        for &from in order.iter().rev() {
            for to in graph.blocks[from].successors().into_iter().flatten() {
                // Nobody asks for a return's, and finding them out costs most.
                if graph.blocks[to].successors().is_none() {
                    continue;
                }
                if !reached[to] {
                    reached[to] = true;
                    immediate[to] = from;
                    continue;
                }
                let (mut one, mut other) = (immediate[to], from);
                while one != other {
                    if place[one] > place[other] {
                        one = immediate[one];
                    } else {
                        other = immediate[other];
                    }
                }
                immediate[to] = one;
            }
        }
        Self { place, immediate }
    }

    /// Whether every way to `block`, which is not a return, goes over `dominator`.
    pub(super) fn dominates(&self, dominator: BlockId, block: BlockId) -> bool {
        let mut block = block;
        while self.place[block] > self.place[dominator] {
            block = self.immediate[block];
        }
        block == dominator
    }
}

fn edge_dominators(graph: &Graph, levels: &[Vec<BlockId>]) -> Vec<Set> {
    let count = graph.blocks.len();
    let mut dominators = vec![Set::full(2 * count); 2 * count];
    for side in 0..2 {
        dominators[Analysis::edge_index(graph, Edge { from: graph.root, side })] = Set::empty(2 * count);
    }
    for from in downwards(levels) {
        let Some(to) = graph.blocks[from].successors() else { continue };
        for (side, to) in to.into_iter().enumerate() {
            let index = Analysis::edge_index(graph, Edge { from, side });
            dominators[index].insert(index);
            let own = dominators[index].clone();
            for side in 0..2 {
                dominators[Analysis::edge_index(graph, Edge { from: to, side })].intersect(&own);
            }
        }
    }
    dominators
}

fn used_after(graph: &Graph, levels: &[Vec<BlockId>]) -> Vec<Registers> {
    let mut used_in = vec![0; graph.blocks.len()];
    let mut used_after = vec![0; graph.blocks.len()];
    for &id in levels.iter().flatten() {
        let block = &graph.blocks[id];
        let Some([then, otherwise]) = block.successors() else { continue };
        let (mut used, mut set) = (0, 0);
        for statement in &block.statements {
            used |= statement.uses() & !set;
            set |= statement.sets();
        }
        used |= A & !set;
        used_after[id] = used_in[then] | used_in[otherwise];
        used_in[id] = used | used_after[id] & !set;
    }
    used_after
}

impl Statement {
    pub(super) fn uses(&self) -> Registers {
        match self {
            Self::Load(load) if load.indexed => X,
            Self::Load(_) | Self::Immediate(_) | Self::HeaderLength(_) => 0,
            Self::And(_) => A,
        }
    }

    pub(super) fn sets(&self) -> Registers {
        match self {
            Self::Load(_) | Self::Immediate(_) | Self::And(_) => A,
            Self::HeaderLength(_) => X,
        }
    }
}

/// A set of small numbers.
#[derive(Clone, Debug)]
pub(super) struct Set {
    words: Vec<u64>,
}

impl Set {
    fn empty(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)] }
    }

    fn full(size: usize) -> Self {
        let mut words = vec![u64::MAX; size.div_ceil(64)];
        if let Some(last) = words.last_mut() {
            *last >>= (64 - size % 64) % 64;
        }
        Self { words }
    }

    fn insert(&mut self, member: usize) {
        self.words[member / 64] |= 1 << (member % 64);
    }

    fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine &= theirs);
    }

    pub(super) fn contains(&self, member: usize) -> bool {
        self.words[member / 64] >> (member % 64) & 1 == 1
    }
}
