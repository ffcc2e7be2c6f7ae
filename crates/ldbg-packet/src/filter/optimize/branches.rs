//! Moves edges and blocks: to where a decided test leads, and to where a value
//! is loaded already.

use crate::filter::graph::{BlockId, Comparison, Exit, Graph, Test};

use std::collections::HashMap;

use super::Progress;
use super::analysis::{A, Analysis, Dominators, Edge, X};
use super::values::{Number, Values};

/// By what they compare, and how: the edges out of the blocks that do.
type Outcomes = HashMap<(Number, Comparison), Vec<usize>>;

/// Sends each edge past the tests whose outcome is known on it.
pub(super) fn thread_edges(graph: &mut Graph, analysis: &Analysis, values: &Values, progress: &mut Progress) {
    let mut outcomes = Outcomes::new();
    for index in 0..2 * graph.blocks.len() {
        let from = Analysis::edge_at(graph, index).from;
        if let Some(test) = test(graph, from) {
            outcomes.entry((values.at_exit[from].a, test.comparison)).or_default().push(index);
        }
    }
    for level in &analysis.levels[1..] {
        for &from in level {
            for side in 0..2 {
                thread(graph, analysis, values, &outcomes, Edge { from, side }, progress);
            }
        }
    }
}

fn thread(
    graph: &mut Graph,
    analysis: &Analysis,
    values: &Values,
    outcomes: &Outcomes,
    edge: Edge,
    progress: &mut Progress,
) {
    let Some([then, otherwise]) = target(graph, edge).and_then(|to| graph.blocks[to].successors()) else {
        return;
    };
    if then == otherwise && !conflicts(analysis, values, edge.from, then) {
        progress.note_irreversible();
        redirect(graph, edge, then);
    }
    let dominating = &analysis.edge_dominators[Analysis::edge_index(graph, edge)];
    while let Some(to) = target(graph, edge)
        && let Some(test) = test(graph, to)
    {
        let known = outcomes.get(&(values.at_exit[to].a, test.comparison)).into_iter().flatten();
        let decided = known
            .filter(|&&index| dominating.contains(index))
            .filter_map(|&index| outcome(graph, values, Analysis::edge_at(graph, index), to))
            .find(|&decided| !conflicts(analysis, values, edge.from, decided));
        let Some(decided) = decided else { return };
        progress.changed = true;
        redirect(graph, edge, decided);
    }
}

/// Where block `at` leads if one came over `edge`, out of a block that compares
/// the same value in the same way; if that decides it.
fn outcome(graph: &Graph, values: &Values, edge: Edge, at: BlockId) -> Option<BlockId> {
    let [then, otherwise] = graph.blocks[at].successors()?;
    let held = edge.side == 0;
    if values.operand[edge.from] == values.operand[at] {
        Some(if held { then } else { otherwise })
    } else {
        // Equal to one constant is not equal to another.
        let equal = held && test(graph, edge.from)?.comparison == Comparison::Equal;
        equal.then_some(otherwise)
    }
}

/// Whether a register that is read behind `to` would hold something else there if one came from `from`.
fn conflicts(analysis: &Analysis, values: &Values, from: BlockId, to: BlockId) -> bool {
    let (here, there) = (values.at_exit[from], values.at_exit[to]);
    let read = analysis.used_after[to];
    (read & A != 0 && here.a != there.a) || (read & X != 0 && here.x != there.x)
}

fn test(graph: &Graph, block: BlockId) -> Option<Test> {
    match graph.blocks[block].exit {
        Exit::Branch { test, .. } => Some(test),
        Exit::Return(_) => None,
    }
}

fn target(graph: &Graph, edge: Edge) -> Option<BlockId> {
    Some(graph.blocks[edge.from].successors()?[edge.side])
}

fn redirect(graph: &mut Graph, edge: Edge, target: BlockId) {
    if let Exit::Branch { to, .. } = &mut graph.blocks[edge.from].exit {
        to[edge.side] = target;
    }
}

/// In chains of tests that share an outcome, brings those of one value together.
///
/// The dominators are found anew after each step. libpcap 1.10.3 goes on with
/// those from before, and compiles some filters to others by that, such as
/// `not (port (80 and 22) or (53 or 80))`.
pub(super) fn pull_up(graph: &mut Graph, analysis: &mut Analysis, values: &Values, progress: &mut Progress) {
    analysis.find_incoming(graph);
    let mut dominators = Dominators::new(graph);
    for &id in analysis.levels[1..].iter().flatten() {
        // A chain of `or` shares the way where a test holds, one of `and` where it fails.
        for shared in 0..2 {
            if pull(graph, analysis, &dominators, values, id, shared).is_some() {
                progress.changed = true;
                dominators = Dominators::new(graph);
            }
        }
    }
}

fn pull(
    graph: &mut Graph,
    analysis: &Analysis,
    dominators: &Dominators,
    values: &Values,
    id: BlockId,
    shared: usize,
) -> Option<()> {
    let incoming = &analysis.incoming[id];
    let first = *incoming.first()?;
    let value = values.at_exit[first.from].a;
    if incoming.iter().any(|edge| values.at_exit[edge.from].a != value) {
        return None;
    }
    let common = graph.blocks[id].successors()?[shared];
    let onward = 1 - shared;
    let holds = |graph: &Graph, edge: Edge| {
        let block = target(graph, edge)?;
        let in_chain = graph.blocks[block].successors()?[shared] == common;
        (in_chain && dominators.dominates(id, block)).then_some(block)
    };
    // From the block itself along the chain to the first test of another value ...
    let side = usize::from(target(graph, Edge { side: 0, ..first }) != Some(id));
    let mut different = Edge { from: first.from, side };
    let mut at_top = true;
    let top = loop {
        let block = holds(graph, different)?;
        if values.at_exit[block].a != value {
            break block;
        }
        different = Edge { from: block, side: onward };
        at_top = false;
    };
    // ... and from there to the next test of the value: it goes in between.
    let mut same = Edge { from: top, side: onward };
    let pulled = loop {
        let block = holds(graph, same)?;
        if values.at_exit[block].a == value {
            break block;
        }
        same = Edge { from: block, side: onward };
    };
    let after = target(graph, Edge { from: pulled, side: onward })?;
    redirect(graph, same, after);
    redirect(graph, Edge { from: pulled, side: onward }, top);
    if at_top {
        for edge in incoming {
            let side = usize::from(target(graph, Edge { side: 0, ..*edge }) != Some(id));
            redirect(graph, Edge { from: edge.from, side }, pulled);
        }
    } else {
        redirect(graph, different, pulled);
    }
    Some(())
}
