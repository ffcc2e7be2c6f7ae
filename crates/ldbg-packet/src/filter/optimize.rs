//! The optimizer: after McCanne and Jacobson (the BPF paper, USENIX 1993), by
//! the passes of libpcap and in their order, so that the program that comes out
//! makes the same loads in the same order.
//!
//! Two rounds, each until nothing changes. The first moves branches: values are
//! numbered along the paths, an edge into a test whose outcome is decided by a
//! test that dominates the edge goes on to where that outcome leads, and tests
//! of one value that stand apart in a chain are pulled together. The second
//! drops loads of what a register holds already. At the end equal blocks become
//! one.

mod analysis;
mod branches;
mod values;

use std::collections::HashMap;

use super::graph::{Block, BlockId, Exit, Graph};
use analysis::Analysis;
use values::Values;

/// After so many passes that only moved branches they are taken to go round in a circle.
const MAX_FRUITLESS_PASSES: u32 = 100;

pub(super) fn optimize(graph: &mut Graph) {
    renumber(graph);
    rounds(graph, Round::Branches);
    rounds(graph, Round::Statements);
    merge_equal_blocks(graph);
    skip_decided_root(graph);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Branches,
    Statements,
}

/// What a pass did.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Something changed, so that another pass may find more.
    changed: bool,
    /// Something that cannot be undone by a later pass.
    irreversible: bool,
    /// A test was replaced by its opposite, and its two edges changed places.
    turned: bool,
}

fn rounds(graph: &mut Graph, round: Round) {
    let mut fruitless = 0;
    loop {
        let mut progress = Progress::default();
        let mut analysis = Analysis::new(graph);
        let values = Values::number(graph, &analysis, round, &mut progress);
        if round == Round::Branches {
            if progress.turned {
                analysis.find_edge_dominators(graph);
            }
            branches::thread_edges(graph, &analysis, &values, &mut progress);
            branches::pull_up(graph, &mut analysis, &values, &mut progress);
        }
        if !progress.changed {
            return;
        }
        fruitless = if progress.irreversible { 0 } else { fruitless + 1 };
        if fruitless >= MAX_FRUITLESS_PASSES {
            return;
        }
    }
}

/// Orders the blocks as they are met from the root, the accepting way first:
/// the order in which dominating edges are tried.
fn renumber(graph: &mut Graph) {
    let mut order = Vec::new();
    let mut place = vec![None; graph.blocks.len()];
    let mut stack = vec![graph.root];
    while let Some(id) = stack.pop() {
        if place[id].is_some() {
            continue;
        }
        place[id] = Some(order.len());
        order.push(id);
        if let Some([then, otherwise]) = graph.blocks[id].successors() {
            stack.extend([otherwise, then]);
        }
    }
    let placed = |id: BlockId| place[id].unwrap_or(id);
    graph.blocks = order
        .iter()
        .map(|&id| {
            let Block { statements, exit } = graph.blocks[id].clone();
            let exit = match exit {
                Exit::Branch { test, to } => Exit::Branch { test, to: to.map(placed) },
                Exit::Return(k) => Exit::Return(k),
            };
            Block { statements, exit }
        })
        .collect();
    graph.root = 0;
}

/// Lets one of each set of equal blocks stand for all, until none are equal.
fn merge_equal_blocks(graph: &mut Graph) {
    loop {
        let mut reachable = graph.postorder([0, 1]);
        reachable.sort_unstable();
        let mut kept: HashMap<&Block, BlockId> = HashMap::new();
        let mut stands_for: Vec<BlockId> = (0..graph.blocks.len()).collect();
        for &id in reachable.iter().rev() {
            stands_for[id] = *kept.entry(&graph.blocks[id]).or_insert(id);
        }
        let mut settled = true;
        for block in &mut graph.blocks {
            if let Exit::Branch { to, .. } = &mut block.exit {
                let merged = to.map(|id| stands_for[id]);
                settled &= *to == merged;
                *to = merged;
            }
        }
        if settled {
            return;
        }
    }
}

/// A root whose test decides nothing gives way to what follows it.
fn skip_decided_root(graph: &mut Graph) {
    let mut statements = std::mem::take(&mut graph.blocks[graph.root].statements);
    while let Exit::Branch { to: [then, otherwise], .. } = graph.blocks[graph.root].exit
        && then == otherwise
    {
        graph.root = then;
    }
    let root = &mut graph.blocks[graph.root];
    // A return needs nothing loaded; anything else may still use what was.
    if root.successors().is_some() {
        statements.append(&mut root.statements);
        root.statements = statements;
    }
}
